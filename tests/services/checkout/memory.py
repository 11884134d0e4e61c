"""Where checkouts can be kept in memory: the same promises as the real store, without a database."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

from services.checkout.domain import Lookup, LostLease, Origin, Purchase, Reason, Status, UnknownCheckout
from services.checkout.saga import tried_again
from tests.services.checkout.claims import make_session
from tests.services.checkout.memory_search import MemorySearch

LEASE = 10.0


class Row:
    """What a row has beside the session."""

    def __init__(self, session, owner, now, timeout):
        self.session, self.owner = session, owner
        self.lease_until, self.next_attempt_at, self.cancel_after = now + LEASE, now, now + timeout
        self.cleared = None
        self.error = ""
        self.cancel_requested_at = None


class MemorySessions(MemorySearch):
    """Fits the ports of the driver, the use cases, the recovery worker and staff; processes that share `rows` share a table."""

    def __init__(self, rows, events, owner="me", timeout=300.0):
        self.rows, self.events, self.owner, self.timeout = rows, events, owner, timeout

    @staticmethod
    def _now():
        return asyncio.get_running_loop().time()

    def _seen(self, row):
        late = row.cancel_after < self._now()
        cancel = Reason.TIMED_OUT if late else None
        return replace(row.session, cancel=Reason.CANCELLED if row.cancel_requested_at else cancel)

    def _where(self, test):
        return [self._seen(row) for row in self.rows.values() if test(row.session, row)]

    async def find(self, user_id, origin, key):
        found = self._where(lambda one, _: (one.user_id, one.origin, one.key) == (user_id, origin, key))
        return found[0] if found else None

    async def lookup(self, user_id, key):
        return Lookup(await self.find(user_id, Origin.REST, key), tuple(await self.uncleared_purchases(user_id)))

    async def get(self, user_id, checkout_id):
        found = self._where(lambda one, _: (one.user_id, one.id) == (user_id, checkout_id))
        return found[0] if found else None

    async def load(self, checkout_id):
        if checkout_id not in self.rows:
            raise UnknownCheckout
        return self._seen(self.rows[checkout_id])

    async def uncleared_purchases(self, user_id):
        bought = self._where(
            lambda one, row: one.user_id == user_id and one.status is Status.COMPLETED and row.cleared is None
        )
        return [Purchase(one.id, tuple((line.line_id, line.quantity) for line in one.lines)) for one in bought]

    async def conflicting(self, user_id, cart_version):
        return self._where(
            lambda one, row: (
                one.user_id == user_id
                and one.status is not Status.FAILED
                and (row.cleared is None or row.cleared > cart_version)
            )
        )

    async def claim(self, claim):
        for checkout_id in claim.bought:
            row = self.rows[checkout_id]
            if row.session.status is Status.COMPLETED and row.cleared is None:
                row.cleared = claim.cart_version
        if await self.conflicting(claim.user_id, claim.cart_version):
            return None
        if await self.find(claim.user_id, Origin.REST, claim.key):
            return None
        session = make_session(claim)
        self.rows[session.id] = Row(session, self.owner, self._now(), self.timeout)
        return self._seen(self.rows[session.id])

    def _fenced(self, session, epoch):
        """Give the row where this lease may write to it."""
        there = self.rows[session.id]
        ours = there.session.lease_epoch == epoch and there.session.status is Status.PROCESSING
        return there if ours else None

    async def move(self, before, after):
        row = self._fenced(before, before.lease_epoch)
        if row is None or row.session.step is not before.step:
            raise LostLease(before.id)
        body = {"checkout_id": after.id, "status": after.status}
        body |= {"order_id": after.order_id} if after.status is Status.COMPLETED else {"reason": after.reason}
        ended = after.status is not Status.PROCESSING
        row.session = replace(
            after,
            version=row.session.version + 1,
            attempts=0,
            last_error=after.last_error if after.status is Status.FAILED else "",
            finished_at=datetime.now(UTC) if ended else None,
            response_body=json.dumps(body, separators=(",", ":")).encode() if ended else b"",
        )
        if after.status is Status.COMPLETED:
            self.events.append((after.id, str(after.user_id), after.order_id))
        return self._seen(row)

    async def park(self, session, error, *, max_pause=30.0):
        if row := self._fenced(session, session.lease_epoch):
            row.lease_until, row.error = self._now(), error
            row.next_attempt_at = self._now() + 0.2
            row.session = replace(row.session, attempts=row.session.attempts + 1, steps=tried_again(row.session.steps))

    async def take_over(self, limit):
        now = self._now()
        free = [
            row
            for row in self.rows.values()
            if row.session.status is Status.PROCESSING and row.lease_until < now and row.next_attempt_at <= now
        ]
        taken = sorted(free, key=lambda row: row.next_attempt_at)[:limit]
        for row in taken:
            row.owner, row.lease_until = self.owner, now + LEASE
            row.session = replace(row.session, lease_epoch=row.session.lease_epoch + 1)
        return [self._seen(row) for row in taken]

    async def renew(self, checkout_ids):
        for checkout_id in checkout_ids:
            row = self.rows[checkout_id]
            if row.owner == self.owner and row.session.status is Status.PROCESSING:
                row.lease_until = self._now() + LEASE

    async def oldest_running_seconds(self):
        running = self._where(lambda one, _: one.status is Status.PROCESSING)
        return max(((datetime.now(UTC) - one.created_at).total_seconds() for one in running), default=0.0)
