"""Both places where stock can be kept: in memory, and in PostgreSQL in a database of these tests' own."""

import asyncpg
import pytest

from services.chassis.migrate import role_of
from services.chassis.postgres import Postgres
from services.inventory.store import PostgresWarehouse
from tests.services.inventory.memory import MemoryWarehouse


@pytest.fixture
async def url(database):
    """The database, migrated, with 10 pieces of each of the products 1 to 3 and nothing else."""
    return await database(
        "inventory",
        """
        TRUNCATE inventory.stock, inventory.reservation, inventory.reservation_line, inventory.restock;
        INSERT INTO inventory.stock (product_id, received, available) SELECT id, 10, 10 FROM generate_series(1, 3) AS id
        """,
    )


@pytest.fixture
async def db(url):
    """The pool of the service's own role."""
    async with Postgres(url, role=role_of("inventory"), schema="inventory", size=20) as db:
        yield db


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real)])
def new_warehouse(request):
    """Give a warehouse that holds for so many seconds; PostgreSQL is asked for only where it is needed."""
    if request.param == "memory":
        return MemoryWarehouse
    return lambda ttl: PostgresWarehouse(request.getfixturevalue("db"), ttl=ttl)


@pytest.fixture
def warehouse(new_warehouse):
    """A warehouse that holds for five minutes."""
    return new_warehouse(ttl=300)


@pytest.fixture
def short(new_warehouse):
    """A warehouse whose reservations have expired as soon as they are made."""
    return new_warehouse(ttl=0)


@pytest.fixture
def real_warehouse(db):
    """A warehouse in PostgreSQL that holds for five minutes."""
    return PostgresWarehouse(db, ttl=300)


@pytest.fixture
def stock():
    """Ask for (available, reserved, sold) of a product."""

    async def ask(warehouse, product_id):
        if isinstance(warehouse, MemoryWarehouse):
            return tuple(warehouse.stock[product_id])
        sql = "SELECT available, reserved, sold FROM stock WHERE product_id = $1"
        return tuple((await warehouse._db.fetch(sql, product_id))[0])

    return ask


@pytest.fixture
def list_product(request):
    """Begin to stock another product, with 10 pieces of it."""

    async def list_product(warehouse, product_id):
        if isinstance(warehouse, MemoryWarehouse):
            warehouse.stock[product_id] = [10, 0, 0]
            return
        connection = await asyncpg.connect(request.getfixturevalue("url"))
        await connection.execute(
            "INSERT INTO inventory.stock (product_id, received, available) VALUES ($1, 10, 10)"
            " ON CONFLICT (product_id) DO NOTHING",
            product_id,
        )
        await connection.close()

    return list_product
