"""A warehouse on a real PostgreSQL, in a database of this module's own."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.chassis.env import process_environment
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.inventory.store import PostgresWarehouse

MIGRATIONS = Path(__file__).parents[3] / "services" / "inventory" / "migrations"


@pytest.fixture(scope="session")
def server(request):
    """The PostgreSQL that POSTGRES_URL names, or else the platform's own."""
    return process_environment().get("POSTGRES_URL") or request.getfixturevalue("platform").urls["POSTGRES_URL"]


@pytest.fixture
async def url(server):
    """The database, migrated, with 10 pieces of each of the products 1 to 3 and nothing else."""
    url = urlunsplit(urlsplit(server)._replace(path="/inventory_tests"))
    await migrate(url, schema="inventory", folder=MIGRATIONS)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "TRUNCATE inventory.stock, inventory.reservation, inventory.reservation_line, inventory.restock"
    )
    await connection.execute(
        "INSERT INTO inventory.stock (product_id, received, available) SELECT id, 10, 10 FROM generate_series(1, 3) AS id"
    )
    await connection.close()
    return url


@pytest.fixture
async def db(url):
    """The pool of the service's own role."""
    async with Postgres(url, role=role_of("inventory"), schema="inventory", size=20) as db:
        yield db


@pytest.fixture
def warehouse(db):
    """A warehouse that holds for five minutes."""
    return PostgresWarehouse(db, ttl=300)


@pytest.fixture
def short(db):
    """A warehouse whose reservations have expired as soon as they are made."""
    return PostgresWarehouse(db, ttl=0)


@pytest.fixture
def stock(db):
    """Ask for (available, reserved, sold) of a product."""

    async def ask(product_id):
        row = (await db.fetch("SELECT available, reserved, sold FROM stock WHERE product_id = $1", product_id))[0]
        return tuple(row)

    return ask
