"""Both places where payments can be kept, and a bank that does as it is told."""

import pytest

from services.chassis.migrate import role_of
from services.chassis.postgres import Postgres
from services.chassis.telemetry import Metrics
from services.payment.store import PostgresPayments
from services.payment.usecases import PaymentProcessor
from tests.services.payment.memory import MemoryBank, MemoryPayments


@pytest.fixture
async def db(database):
    """The pool of the service's own role, in an empty database of these tests' own."""
    url = await database("payment", "TRUNCATE payment.payments, payment.payment_events")
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
