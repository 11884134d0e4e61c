"""Where checkouts can be kept in memory: the same promises as the real store, without a database."""

import json
from dataclasses import replace
from datetime import timedelta

from services.chassis import call
from services.checkout.domain import (
    KeyReused,
    Line,
    Lookup,
    LostLease,
    Origin,
    Reason,
    Session,
    Source,
    Status,
    Step,
    UnknownCheckout,
    cart_purchase,
)
from services.checkout.event import completed_event
from services.checkout.saga import accepted_records, claimed_records, tried_again
from tests.services.checkout.claims import make_session
from tests.services.checkout.memory_search import MemorySearch
from tests.services.checkout.memory_tables import LEASE, OutboxRow, Row

LOOK_BACK = timedelta(seconds=5)
PARK, MAX_PARK = 0.2, 30.0


class MemorySessions(MemorySearch):
    """Fits the ports of the driver, the use cases, the recovery worker and staff; processes that share `tables` share a database."""

    def __init__(self, tables, owner="me", timeout=300.0):
        self.tables, self.rows, self.owner, self.timeout = tables, tables.rows, owner, timeout

    def _seen(self, row):
        late = row.cancel_after < self.tables.now()
        cancel = Reason.CANCELLED if row.cancel_requested else Reason.TIMED_OUT if late else None
        return row.session if row.session.cancel is cancel else replace(row.session, cancel=cancel)

    def _where(self, test):
        return [self._seen(row) for row in self.rows.values() if test(row.session, row)]

    def _write(self, row, session):
        before, row.session = row.session, session
        row.changed = self.tables.clock()
        self.tables.wrote(before, session)
        return self._seen(row)

    def _insert(self, session, timeout):
        row = self.rows[session.id] = Row(session, self.owner, self.tables.now(), timeout)
        row.changed = self.tables.clock()
        self.tables.wrote(None, session)
        return row

    def _row_of(self, user_id, origin, key):
        for row in self.rows.values():
            one = row.session
            if one.user_id == user_id and one.key == key and one.origin is origin:
                return row
        return None

    async def find(self, user_id, origin, key):
        row = self._row_of(user_id, origin, key)
        return self._seen(row) if row else None

    async def lookup(self, user_id, key):
        return Lookup(await self.find(user_id, Origin.REST, key), tuple(await self.uncleared_purchases(user_id)))

    async def get(self, user_id, checkout_id):
        row = self.rows.get(checkout_id)
        return self._seen(row) if row and row.session.user_id == user_id else None

    async def load(self, checkout_id):
        if checkout_id not in self.rows:
            raise UnknownCheckout
        return self._seen(self.rows[checkout_id])

    async def load_many(self, checkout_ids):
        return [self._seen(self.rows[one]) for one in checkout_ids if one in self.rows]

    async def changed_since(self, cursor):
        since = (cursor or self.tables.clock()) - LOOK_BACK
        changed = [row for row in self.rows.values() if row.changed >= since]
        changed.sort(key=lambda row: row.changed)
        return [(row.session.id, row.session.version, row.changed) for row in changed]

    async def recent(self, origin, ended_within, limit, after=None):
        since = self.tables.clock() - timedelta(seconds=ended_within)
        found = self._where(
            lambda one, row: one.origin is origin and (one.status is Status.PROCESSING or row.changed > since)
        )
        found.sort(key=lambda one: (one.created_at, one.id))
        if after is not None:
            last = self.rows[after].session
            found = [one for one in found if (one.created_at, one.id) > (last.created_at, last.id)]
        return found[:limit]

    async def uncleared_purchases(self, user_id):
        bought = self._where(
            lambda one, row: (
                one.user_id == user_id
                and one.source is Source.CART
                and one.status is Status.COMPLETED
                and row.cleared is None
            )
        )
        return [cart_purchase(one.id, one.lines) for one in bought]

    async def conflicting(self, user_id, cart_version):
        return self._where(
            lambda one, row: (
                one.user_id == user_id
                and one.source is Source.CART
                and one.step is not Step.ACCEPTED
                and one.status is not Status.FAILED
                and (row.cleared is None or row.cleared > cart_version)
            )
        )

    def _hold_cart(self, claim):
        for checkout_id in claim.bought:
            row = self.rows[checkout_id]
            if row.session.status is Status.COMPLETED and row.cleared is None:
                row.cleared = claim.cart_version

    async def claim(self, claim):
        self._hold_cart(claim)
        if await self.conflicting(claim.user_id, claim.cart_version):
            return None
        if self._row_of(claim.user_id, Origin.REST, claim.key):
            return None
        now, asked = self.tables.clock(), call.current()
        session = replace(
            make_session(claim, self.tables.new_id, now), request_id=asked.request_id, traceparent=asked.traceparent
        )
        return self._seen(self._insert(session, self.timeout))

    async def claim_accepted(self, session, claim):
        row = self._fenced(session, session.lease_epoch)
        of_cart = claim.cart_version is not None
        if of_cart:
            self._hold_cart(claim)
        if row is None or row.session.step is not Step.ACCEPTED:
            raise LostLease(session.id)
        if of_cart and await self.conflicting(claim.user_id, claim.cart_version):
            return None
        there = row.session
        return self._write(
            row,
            replace(
                there,
                step=Step.CLAIMED,
                steps=claimed_records(session.steps, self.tables.clock()),
                lines=claim.lines,
                total_minor=claim.total_minor,
                currency=claim.currency,
                version=there.version + 1,
                attempts=0,
                last_error="",
            ),
        )

    async def find_accepted(self, request):
        row = self._row_of(request.user_id, Origin.RESOURCE, request.key)
        if row is not None and row.intention != request.intention:
            raise KeyReused
        return self._seen(row) if row else None

    async def accept(self, request):
        return self._insert_request(request, None)

    async def insert_tombstone(self, request):
        return self._insert_request(request, Reason.CANCELLED)

    def _insert_request(self, request, failed):
        if self._row_of(request.user_id, Origin.RESOURCE, request.key):
            return None
        now, asked, checkout_id = self.tables.clock(), call.current(), self.tables.new_id()
        steps = accepted_records(now)
        if failed:
            steps = tuple(replace(step, state="failed", finished_at=now) for step in steps)
        session = Session(
            id=checkout_id,
            user_id=request.user_id,
            origin=Origin.RESOURCE,
            key=request.key,
            source=request.source,
            status=Status.FAILED if failed else Status.PROCESSING,
            step=Step.FAILED if failed else Step.ACCEPTED,
            lines=tuple(Line("", product_id, "", 0, quantity) for product_id, quantity in request.items),
            total_minor=0,
            currency="XXX",
            order_id=self.tables.new_id(),
            lease_epoch=1,
            version=1,
            created_at=now,
            finished_at=now if failed else None,
            reason=failed,
            steps=steps,
            response_body=_body(checkout_id, Status.FAILED, reason=failed) if failed else b"",
            request_id=asked.request_id,
            traceparent=asked.traceparent,
            resource=request.resource,
        )
        row = self._insert(session, self.timeout if request.timeout is None else request.timeout)
        row.intention, row.cancel_requested = request.intention, failed is not None
        return self._seen(row)

    async def request_cancel(self, request):
        row = self._row_of(request.user_id, Origin.RESOURCE, request.key)
        if row is None or row.session.status is not Status.PROCESSING or row.intention != request.intention:
            return None
        row.cancel_requested = True
        row.next_attempt_at = min(row.next_attempt_at, self.tables.now())
        return self._seen(row)

    def _fenced(self, session, epoch):
        """Give the row where this lease may write to it."""
        there = self.rows[session.id]
        ours = there.session.lease_epoch == epoch and there.session.status is Status.PROCESSING
        return there if ours else None

    async def move(self, before, after):
        row = self._fenced(before, before.lease_epoch)
        if row is None or row.session.step is not before.step:
            raise LostLease(before.id)
        ended = after.status is not Status.PROCESSING
        completed = after.status is Status.COMPLETED
        more = {"order_id": after.order_id} if completed else {"reason": after.reason}
        session = replace(
            after,
            version=row.session.version + 1,
            attempts=0,
            last_error=after.last_error if after.status is Status.FAILED else None,
            finished_at=self.tables.clock() if ended else None,
            response_body=_body(after.id, after.status, **more) if ended else b"",
        )
        if completed:
            self._add_event(session)
        return self._write(row, session)

    def _add_event(self, session):
        events, event_id = self.tables.events, self.tables.new_id()
        payload = completed_event(session, event_id, session.finished_at).encode()
        headers = {"event_id": event_id, "request_id": session.request_id, "traceparent": session.traceparent}
        events.append(OutboxRow(len(events) + 1, session, str(session.user_id), payload, headers))

    async def park(self, session, error, *, max_pause=MAX_PARK):
        if row := self._fenced(session, session.lease_epoch):
            now, tried = self.tables.now(), row.session.attempts
            row.lease_until, row.error = now, error
            row.next_attempt_at = now + self.tables.dice() * min(max_pause, PARK * 2 ** min(tried, 20))
            row.session = replace(
                row.session, attempts=tried + 1, steps=tried_again(row.session.steps), last_error=error
            )

    async def take_over(self, limit):
        now = self.tables.now()
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
                row.lease_until = self.tables.now() + LEASE

    async def oldest_running_seconds(self):
        running = self._where(lambda one, _: one.status is Status.PROCESSING)
        now = self.tables.clock()
        return max(((now - one.created_at).total_seconds() for one in running), default=0.0)


def _body(checkout_id, status, **more):
    body = {"checkout_id": checkout_id, "status": status}
    return json.dumps(body | {name: value for name, value in more.items() if value}, separators=(",", ":")).encode()
