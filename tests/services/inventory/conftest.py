"""Both places where stock can be kept: in memory, and in PostgreSQL in a database of these tests' own."""

import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.chassis.env import process_environment
from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.errors import Invalid
from services.inventory.domain import (
    NotHeld,
    OtherLines,
    Reservation,
    ReservationRecord,
    State,
    Stock,
    UnknownReservation,
)
from services.inventory.store import PostgresWarehouse

MIGRATIONS = Path(__file__).parents[3] / "services" / "inventory" / "migrations"


class MemoryWarehouse:
    """Fits the ports Warehouse and Expiring."""

    def __init__(self, ttl):
        self.ttl, self.heads, self.deliveries = ttl, {}, set()
        self._stock_of = {product_id: [10, 0, 0] for product_id in (1, 2, 3)}  # available, reserved, sold

    async def reserve(self, requests):
        return [self._reserve(request) for request in requests]

    def _reserve(self, request):
        if there := self.heads.get(request.checkout_id):
            state, lines, until = there
            if lines not in {request.lines, ()}:
                return OtherLines()
            if request.pin and state is State.HELD:
                state = State.PINNED if until > time.monotonic() else State.EXPIRED
                if state is State.PINNED:
                    self.heads[request.checkout_id] = (state, lines, until)
            return Reservation(request.checkout_id, state)
        for product_id, quantity in request.lines:
            if self._stock_of.get(product_id, [0])[0] < quantity:
                return Reservation(request.checkout_id, State.INSUFFICIENT, product_id)
        self._book(request.lines, 0, 1)
        state = State.PINNED if request.pin else State.HELD
        self.heads[request.checkout_id] = (state, request.lines, time.monotonic() + self.ttl)
        return Reservation(request.checkout_id, state)

    def _book(self, lines, came, went):
        for product_id, quantity in lines:
            self._stock_of[product_id][came] -= quantity
            self._stock_of[product_id][went] += quantity

    async def pin(self, checkout_ids):
        for checkout_id in checkout_ids:
            state, lines, until = self.heads.get(checkout_id, ("", (), 0))
            if state is State.HELD and until > time.monotonic():
                self.heads[checkout_id] = (State.PINNED, lines, until)
        return self._answers(checkout_ids, {State.PINNED, State.CONFIRMED})

    async def confirm(self, checkout_ids):
        self._settle(checkout_ids, State.CONFIRMED, 2)
        return self._answers(checkout_ids, {State.CONFIRMED})

    async def release(self, checkout_ids):
        for checkout_id in checkout_ids:
            self.heads.setdefault(checkout_id, (State.RELEASED, (), 0))
        self._settle(checkout_ids, State.RELEASED, 0)
        return self._answers(checkout_ids, {State.RELEASED, State.EXPIRED})

    async def expire(self, limit):
        now = time.monotonic()
        over = [name for name, (state, _, until) in self.heads.items() if state is State.HELD and until <= now][:limit]
        self._settle(over, State.EXPIRED, 0)
        return len(over)

    async def ages(self):
        return 0.0, 0.0

    async def records(self, checkout_ids):
        now = datetime.now(UTC)
        return [
            ReservationRecord(
                name,
                self.heads[name][0],
                self.heads[name][1],
                now,
                now,
                now if self.heads[name][0] is State.HELD else None,
            )
            if name in self.heads
            else UnknownReservation()
            for name in checkout_ids
        ]

    async def stock(self):
        return [Stock(product_id, *pieces) for product_id, pieces in sorted(self._stock_of.items())]

    def _settle(self, checkout_ids, state, went):
        for checkout_id in checkout_ids:
            there, lines, until = self.heads.get(checkout_id, ("", (), 0))
            if there in {State.HELD, State.PINNED}:
                self._book(lines, 1, went)
                self.heads[checkout_id] = (state, lines, until)

    def _answers(self, checkout_ids, good):
        states = [(name, self.heads.get(name, ("",))[0]) for name in checkout_ids]
        return [Reservation(name, state) if state in good else NotHeld(name, state) for name, state in states]

    async def restock(self, deliveries):
        for one in deliveries:
            if one.product_id in self._stock_of and one.restock_id not in self.deliveries:
                self.deliveries.add(one.restock_id)
                self._stock_of[one.product_id][0] += one.quantity
        return [
            Stock(one.product_id, *self._stock_of[one.product_id])
            if one.product_id in self._stock_of
            else Invalid("product not found")
            for one in deliveries
        ]


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
            return tuple(warehouse._stock_of[product_id])
        sql = "SELECT available, reserved, sold FROM stock WHERE product_id = $1"
        return tuple((await warehouse._db.fetch(sql, product_id))[0])

    return ask


@pytest.fixture
def list_product(request):
    """Begin to stock another product, with 10 pieces of it."""

    async def list_product(warehouse, product_id):
        if isinstance(warehouse, MemoryWarehouse):
            warehouse._stock_of[product_id] = [10, 0, 0]
            return
        connection = await asyncpg.connect(request.getfixturevalue("url"))
        await connection.execute(
            "INSERT INTO inventory.stock (product_id, received, available) VALUES ($1, 10, 10)"
            " ON CONFLICT (product_id) DO NOTHING",
            product_id,
        )
        await connection.close()

    return list_product
