"""Both places where payments can be kept, and a bank that does as it is told."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.chassis.env import process_environment
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.telemetry import Metrics
from services.errors import OutcomeUnknown
from services.payment.domain import Payment, PaymentRecord, State
from services.payment.store import PostgresPayments
from services.payment.usecases import PaymentProcessor

MIGRATIONS = Path(__file__).parents[3] / "services" / "payment" / "migrations"


class MemoryPayments:
    """Fits the port Payments."""

    def __init__(self):
        self.kept = {}

    async def insert_intent(self, request):
        return self.kept.setdefault(
            request.checkout_id,
            Payment(request.checkout_id, request.user_id, request.amount_minor, request.currency, State.INTENT),
        )

    async def insert_tombstones(self, checkout_ids):
        return [self.kept.setdefault(name, Payment(name, 0, 0, "", State.CANCELLED)) for name in checkout_ids]

    async def decide(self, checkout_id, state, provider_ref):
        there = self.kept[checkout_id]
        if there.state is State.INTENT:
            there = Payment(checkout_id, there.user_id, there.amount_minor, there.currency, state, provider_ref)
            self.kept[checkout_id] = there
        return there

    async def records(self, checkout_ids):
        now = datetime.now(UTC)
        return {
            name: PaymentRecord(there, 1, now, None if there.state is State.INTENT else now)
            for name in checkout_ids
            if (there := self.kept.get(name))
        }


class MemoryBank:
    """Fits the port Provider: decides once per key; `mood` holds what a charge of a key meets first, and `slow` what it waits for."""

    def __init__(self):
        self.ledger = {}
        self.mood = {}
        self.slow = {}
        self.charges = []

    async def charge(self, payment):
        self.charges.append(payment.checkout_id)
        if answers := self.slow.pop(payment.checkout_id, None):
            await answers.wait()
        mood = self.mood.pop(payment.checkout_id, None)
        if isinstance(mood, Exception):
            raise mood
        outcome = State.DECLINED if mood == "decline" else State.CAPTURED
        answer = self.ledger.setdefault(payment.checkout_id, (outcome, f"ref-{payment.checkout_id}"))
        if mood == "drop":
            raise OutcomeUnknown("no answer")
        return answer

    async def cancel(self, checkout_id):
        return self.ledger.setdefault(checkout_id, (State.CANCELLED, ""))


@pytest.fixture(scope="session")
def server(request):
    """The PostgreSQL that POSTGRES_URL names, or else the platform's own."""
    return process_environment().get("POSTGRES_URL") or request.getfixturevalue("platform").urls["POSTGRES_URL"]


@pytest.fixture
async def db(server):
    """The pool of the service's own role, in an empty database of these tests' own."""
    url = urlunsplit(urlsplit(server)._replace(path="/payment_tests"))
    await migrate(url, schema="payment", folder=MIGRATIONS)
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE payment.payments, payment.payment_events")
    await connection.close()
    async with Postgres(url, role=role_of("payment"), schema="payment", size=20) as db:
        yield db


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real)])
def payments(request):
    """Give the store; PostgreSQL is asked for only where it is needed."""
    if request.param == "memory":
        return MemoryPayments()
    return request.getfixturevalue("real_payments")


@pytest.fixture
def real_payments(db):
    """The store in PostgreSQL, whose undecided payments are due at once."""
    return PostgresPayments(db, Metrics(), resolve_after=0)


@pytest.fixture
def bank():
    """A bank that approves."""
    return MemoryBank()


@pytest.fixture
def undecided():
    """What the processor says about a bank that gave no outcome."""
    return []


@pytest.fixture
def processor(payments, bank, undecided):
    """A processor on either store."""
    return PaymentProcessor(
        payments, bank, on_undecided=lambda payment, fault: undecided.append((payment.checkout_id, fault))
    )
