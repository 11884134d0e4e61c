"""Both places where checkouts can be kept, and the services around them."""

import itertools
from datetime import UTC, datetime

import asyncpg
import pytest

from services.chassis.migrate import role_of
from services.chassis.postgres import Postgres
from services.checkout.driver import Driver
from tests.services.checkout.claims import bring, make_claim
from tests.services.checkout.services import MemoryPayments, MemoryStock
from tests.services.checkout.tables import MemoryTable, PostgresTable

USERS = itertools.count(1)


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


@pytest.fixture
async def url(database):
    """An empty database of these tests' own."""
    return await database(
        "checkout",
        """
        TRUNCATE checkout.checkout_sessions, checkout.outbox_events;
        UPDATE checkout.outbox_leader SET owner = '', epoch = 0, until = '-infinity'
        """,
    )


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
async def rival(url):
    """A connection of another process, which stops where a test wants it to."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
def real_sessions(db):
    """The store on PostgreSQL."""
    return PostgresTable(db).sessions()


@pytest.fixture
def payments():
    """A payment service that captures."""
    return MemoryPayments()


@pytest.fixture
def stock():
    """Stock of everything."""
    return MemoryStock()


@pytest.fixture
def new_driver(payments, stock):
    """Give the driver of a process."""
    return lambda sessions: Driver(
        sessions, None, stock, payments, clock=lambda: datetime.now(UTC), observe=lambda _: None
    )
