"""Both places where checkouts can be kept, and the parts around them as fakes that do as they are told."""

import asyncio
import itertools
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.chassis.env import process_environment
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.checkout.domain import (
    Claim,
    Line,
    LostLease,
    Origin,
    Payment,
    Purchase,
    Reason,
    Reservation,
    Session,
    Status,
    Step,
    UnknownCheckout,
)
from services.checkout.driver import Driver
from services.checkout.saga import Move, first_records, take, tried_again
from services.checkout.store import PostgresSessions

MIGRATIONS = Path(__file__).parents[3] / "services" / "checkout" / "migrations"
USERS = itertools.count(1)
LINES = (Line("l1", 1, "Laptop", 129999, 2), Line("l2", 2, "Mouse", 2999, 1))
LEASE = 10.0


class Row:
    """What a row has beside the session."""

    def __init__(self, session, owner, now, timeout):
        self.session, self.owner = session, owner
        self.lease_until, self.next_attempt_at, self.cancel_after = now + LEASE, now, now + timeout
        self.cleared = None
        self.error = ""


class MemorySessions:
    """Fits the ports of the driver, the use cases and the recovery worker; processes that share `rows` share a table."""

    def __init__(self, rows, events, owner="me", timeout=300.0):
        self.rows, self.events, self.owner, self.timeout = rows, events, owner, timeout

    @staticmethod
    def _now():
        return asyncio.get_running_loop().time()

    def _seen(self, row):
        late = row.cancel_after < self._now()
        return replace(row.session, cancel=Reason.TIMED_OUT if late else None)

    def _where(self, test):
        return [self._seen(row) for row in self.rows.values() if test(row.session, row)]

    async def find(self, user_id, origin, key):
        found = self._where(lambda one, _: (one.user_id, one.origin, one.key) == (user_id, origin, key))
        return found[0] if found else None

    async def get(self, user_id, checkout_ids):
        return self._where(lambda one, _: one.user_id == user_id and one.id in checkout_ids)

    async def load(self, checkout_id):
        if checkout_id not in self.rows:
            raise UnknownCheckout
        return self._seen(self.rows[checkout_id])

    async def still_in_cart(self, user_id):
        bought = self._where(
            lambda one, row: one.user_id == user_id and one.status is Status.COMPLETED and row.cleared is None
        )
        return [Purchase(one.id, tuple((line.line_id, line.quantity) for line in one.lines)) for one in bought]

    async def in_the_way(self, user_id, cart_version):
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
        if await self.in_the_way(claim.user_id, claim.cart_version):
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

    async def park(self, session, error, *, most=None):
        if row := self._fenced(session, session.lease_epoch):
            row.lease_until, row.error = self._now(), error
            row.next_attempt_at = self._now() + 0.2
            row.session = replace(row.session, attempts=row.session.attempts + 1, steps=tried_again(row.session.steps))

    async def take_over(self, most):
        now = self._now()
        free = [
            row
            for row in self.rows.values()
            if row.session.status is Status.PROCESSING and row.lease_until < now and row.next_attempt_at <= now
        ]
        taken = sorted(free, key=lambda row: row.next_attempt_at)[:most]
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


class MemoryTable:
    """What tests do to rows behind the store's back, and what they look at; in memory."""

    def __init__(self):
        self._rows, self._events = {}, []

    def sessions(self, owner="me", timeout=300.0):
        """The store as the process `owner` has it."""
        return MemorySessions(self._rows, self._events, owner, timeout)

    async def lapse(self, *checkout_ids, due=1.0):
        """The leases ran out, and recovery may try since `due` seconds."""
        now = asyncio.get_running_loop().time()
        for checkout_id in checkout_ids:
            self._rows[checkout_id].lease_until = now - 1
            self._rows[checkout_id].next_attempt_at = now - due

    async def events(self):
        """(checkout id, partition key, order id) of each event."""
        return self._events

    async def error(self, checkout_id):
        """What a row was parked for."""
        return self._rows[checkout_id].error


class PostgresTable:
    """The same, in PostgreSQL."""

    def __init__(self, db):
        self._db = db

    def sessions(self, owner="me", timeout=300.0):
        return PostgresSessions(self._db, owner=owner, timeout=timeout)

    async def lapse(self, *checkout_ids, due=1.0):
        await self._db.fetch(
            "UPDATE checkout_sessions SET lease_until = clock_timestamp() - interval '1 s',"
            " next_attempt_at = clock_timestamp() - make_interval(secs => $2) WHERE id = ANY($1::uuid[])",
            list(checkout_ids),
            due,
        )

    async def events(self):
        rows = await self._db.fetch(
            "SELECT aggregate_id::text, partition_key, payload->>'orderId' FROM outbox_events ORDER BY id"
        )
        return [tuple(row) for row in rows]

    async def error(self, checkout_id):
        rows = await self._db.fetch("SELECT last_error FROM checkout_sessions WHERE id = $1", checkout_id)
        return rows[0]["last_error"]


class MemoryStock:
    """Fits the port Stock: there is enough of everything, unless `answers` says otherwise."""

    def __init__(self):
        self.answers = {
            "reserve": Reservation.HELD,
            "pin": Reservation.PINNED,
            "confirm": Reservation.CONFIRMED,
            "release": Reservation.RELEASED,
        }
        self.asked = []

    def __getattr__(self, call):
        async def ask(session):
            self.asked.append(call)
            return self.answers[call]

        return ask


class MemoryTill:
    """Fits the port Till; `faults` and `rivals` are what a charge of a key meets first, each once."""

    def __init__(self):
        self.faults, self.rivals, self.charged = {}, {}, []
        self.answer = Payment.CAPTURED

    async def charge(self, session):
        self.charged.append(session.key)
        if fault := self.faults.pop(session.key, None):
            raise fault
        if rival := self.rivals.pop(session.key, None):
            await rival()
        return self.answer

    async def cancel(self, session):
        return Payment.CANCELLED


def make_session(claim):
    """The session that a claim becomes."""
    return Session(
        id=str(uuid.uuid4()),
        user_id=claim.user_id,
        origin=Origin.REST,
        key=claim.key,
        status=Status.PROCESSING,
        step=Step.CLAIMED,
        lines=claim.lines,
        total_minor=claim.total_minor,
        currency=claim.currency,
        order_id=str(uuid.uuid4()),
        lease_epoch=1,
        version=1,
        created_at=datetime.now(UTC),
        steps=first_records(datetime.now(UTC)),
    )


def make_claim(user, key="k", version=1, bought=(), lines=LINES):
    """A claim of a laptop twice and a mouse."""
    return Claim(user, key, lines, "USD", version, tuple(bought))


WAYS = {
    Step.COMPLETED: (Step.RESERVED, Step.PAYING, Step.PAID, Step.COMPLETED),
    Step.FAILED: (Step.RELEASING, Step.FAILED),
}


async def bring(sessions, session, to):
    """Move a checkout step by step until it has ended as `to`."""
    for step in WAYS[to]:
        reason = Reason.PAYMENT_DECLINED if step is Step.RELEASING else None
        session = await sessions.move(session, take(session, Move(step, reason), datetime.now(UTC)))
    return session


@pytest.fixture
def user():
    """A user who has no checkouts yet."""
    return next(USERS)


@pytest.fixture(name="make_claim")
def make_claim_fixture():
    """Give `make_claim`."""
    return make_claim


@pytest.fixture(name="bring")
def bring_fixture():
    """Give `bring`."""
    return bring


@pytest.fixture(scope="session")
def server(request):
    """The PostgreSQL that POSTGRES_URL names, or else the platform's own."""
    return process_environment().get("POSTGRES_URL") or request.getfixturevalue("platform").urls["POSTGRES_URL"]


@pytest.fixture
async def url(server):
    """An empty database of these tests' own."""
    url = urlunsplit(urlsplit(server)._replace(path="/checkout_tests"))
    await migrate(url, schema="checkout", folder=MIGRATIONS)
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE checkout.checkout_sessions, checkout.outbox_events")
    await connection.execute("UPDATE checkout.outbox_leader SET owner = '', epoch = 0, until = '-infinity'")
    await connection.close()
    return url


@pytest.fixture
async def db(url):
    """The pool of the service's own role."""
    async with Postgres(url, role=role_of("checkout"), schema="checkout", size=20) as db:
        yield db


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real)])
def table(request):
    """The table of checkouts; PostgreSQL is asked for only where it is needed."""
    if request.param == "memory":
        return MemoryTable()
    return PostgresTable(request.getfixturevalue("db"))


@pytest.fixture
def sessions(table):
    """The store on either table."""
    return table.sessions()


@pytest.fixture
def till():
    """A till that captures."""
    return MemoryTill()


@pytest.fixture
def stock():
    """Stock of everything."""
    return MemoryStock()


@pytest.fixture
def new_driver(till, stock):
    """Give the driver of a process."""
    return lambda sessions: Driver(sessions, None, stock, till, clock=lambda: datetime.now(UTC), observe=lambda _: None)
