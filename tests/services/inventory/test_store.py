"""Stock on a real PostgreSQL."""

import asyncio
import secrets

import pytest

from services.chassis.migrate import role_of
from services.chassis.postgres import Postgres
from services.errors import Fault
from services.inventory.domain import NotHeld, OtherLines, State, checked_request
from services.inventory.store import PostgresWarehouse

pytestmark = pytest.mark.real


@pytest.fixture
async def db(database):
    """Give the inventory's own connection to its database, with plenty of the products 1 to 3, under its own role."""
    url = await database(
        "inventory",
        """
        TRUNCATE inventory.stock, inventory.reservation, inventory.reservation_line, inventory.restock;
        INSERT INTO inventory.stock (product_id, received, available) SELECT id, 10000, 10000 FROM generate_series(1, 3) AS id
        """,
    )
    async with Postgres(url, role=role_of("inventory"), schema="inventory") as db:
        yield db


@pytest.fixture
def warehouse(db) -> PostgresWarehouse:
    """Give a warehouse whose reservations hold a minute."""
    return PostgresWarehouse(db, ttl=60)


def new_id() -> str:
    """Make a checkout's id."""
    return secrets.token_hex(8)


async def stock(db, product_id: int = 1) -> tuple[int, int, int]:
    """Give what is available, reserved and sold."""
    row = (await db.fetch("SELECT available, reserved, sold FROM stock WHERE product_id = $1", product_id))[0]
    return row["available"], row["reserved"], row["sold"]


async def test_a_purchase(warehouse, db) -> None:
    """Held, pinned and confirmed stock is sold, once, however often it is asked for."""
    checkout = new_id()
    available, reserved, sold = await stock(db)
    for _ in range(2):
        assert (await warehouse.reserve([checked_request(checkout, [(1, 3)])]))[0].state is State.HELD
    assert await stock(db) == (available - 3, reserved + 3, sold)
    for _ in range(2):
        assert (await warehouse.pin([checkout]))[0].state is State.PINNED
    for _ in range(2):
        assert (await warehouse.confirm([checkout]))[0].state is State.CONFIRMED
    assert await stock(db) == (available - 3, reserved, sold + 3)
    assert isinstance((await warehouse.release([checkout]))[0], NotHeld)


async def test_a_tombstone_bars_a_late_reservation(warehouse, db) -> None:
    """A release that comes first bars the reservation that comes late, and takes nothing."""
    checkout, before = new_id(), await stock(db)
    assert (await warehouse.release([checkout]))[0].state is State.RELEASED
    assert (await warehouse.reserve([checked_request(checkout, [(1, 3)])]))[0].state is State.RELEASED
    assert await stock(db) == before


async def test_all_lines_or_none(warehouse, db) -> None:
    """A request that one product falls short of holds nothing of the others, and its neighbours are not touched."""
    poor, rich, before = new_id(), new_id(), await stock(db)
    outcomes = await warehouse.reserve([checked_request(poor, [(1, 1), (999, 1)]), checked_request(rich, [(1, 1)])])
    assert [(outcome.state, outcome.short_product_id) for outcome in outcomes] == [
        (State.INSUFFICIENT, 999),
        (State.HELD, None),
    ]
    await warehouse.release([rich])
    assert await stock(db) == before


async def test_other_lines_are_refused(warehouse) -> None:
    """A checkout cannot reserve other lines than it has reserved."""
    checkout = new_id()
    await warehouse.reserve([checked_request(checkout, [(1, 1)])])
    assert isinstance((await warehouse.reserve([checked_request(checkout, [(1, 2)])]))[0], OtherLines)
    await warehouse.release([checkout])


async def test_expired_stock_returns_and_a_late_confirm_is_refused(db) -> None:
    """What has expired can be neither pinned nor, once swept, confirmed; the stock is back."""
    warehouse, checkout, before = PostgresWarehouse(db, ttl=0), new_id(), await stock(db)
    await warehouse.reserve([checked_request(checkout, [(1, 2)])])
    assert isinstance((await warehouse.pin([checkout]))[0], NotHeld)
    await warehouse.expire(100)
    assert await stock(db) == before
    assert isinstance((await warehouse.confirm([checkout]))[0], NotHeld)


async def test_what_is_pinned_does_not_expire(db) -> None:
    """The sweeper leaves a pinned reservation alone, however old it is."""
    warehouse, checkout = PostgresWarehouse(db, ttl=60), new_id()
    await warehouse.reserve([checked_request(checkout, [(1, 1)])])
    await warehouse.pin([checkout])
    await db.fetch("UPDATE reservation SET expires_at = '-infinity' WHERE checkout_id = $1", checkout)
    await warehouse.expire(1000)
    assert (await warehouse.confirm([checkout]))[0].state is State.CONFIRMED


async def test_confirm_and_expiry_race(db) -> None:
    """Of a confirm and an expiry that meet exactly one wins, a hundred times."""
    warehouse = PostgresWarehouse(db, ttl=0)
    for _ in range(100):
        checkout, (available, reserved, sold) = new_id(), await stock(db, 2)
        await warehouse.reserve([checked_request(checkout, [(2, 1)])])
        confirmed, _ = await asyncio.gather(warehouse.confirm([checkout]), warehouse.expire(100))
        won = not isinstance(confirmed[0], Fault)
        assert await stock(db, 2) == (available - won, reserved, sold + won)


async def test_opposite_orders_do_not_deadlock(warehouse) -> None:
    """Wishes over the same products in opposite orders, all at once, are all held."""
    ids = [new_id() for _ in range(40)]
    lines = ([(1, 1), (2, 1), (3, 1)], [(3, 1), (2, 1), (1, 1)])
    outcomes = await asyncio.gather(
        *(warehouse.reserve([checked_request(one, lines[n % 2])]) for n, one in enumerate(ids))
    )
    assert {outcome[0].state for outcome in outcomes} == {State.HELD}
    await asyncio.gather(*(warehouse.release([one]) for one in reversed(ids)))
