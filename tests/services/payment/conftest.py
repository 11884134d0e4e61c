"""Both places where payments can be kept, and a bank that does as it is told."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.chassis.env import process_environment
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.telemetry import Metrics
from services.payment.store import PostgresPayments
from services.payment.usecases import PaymentProcessor
from tests.services.payment.memory import MemoryBank, MemoryPayments

MIGRATIONS = Path(__file__).parents[3] / "services" / "payment" / "migrations"


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
