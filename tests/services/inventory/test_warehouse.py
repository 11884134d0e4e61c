"""Batches, races, repeats and deliveries on both stores: nothing is sold twice, lost, or held for ever."""

import asyncio

import asyncpg
import pytest

from services.chassis.resilience import Retrier
from services.chassis.telemetry import Metrics
from services.errors import Fault, Unavailable
from services.inventory.domain import Delivery, NotHeld, OtherLines, Pieces, State, UnknownReservation, checked_request
from services.inventory.store import OLDEST, PostgresWarehouse
from services.inventory.sweeper import Sweeper
from tests.plain import assert_plain, edge_ids


async def test_a_purchase_takes_its_stock_once(warehouse, stock):
    """Held, pinned and confirmed stock is sold, once, however often each is asked for; what is sold cannot be returned."""
    for act, state, books in (
        (lambda: warehouse.reserve([checked_request("a", [(1, 3)])]), State.HELD, (7, 3, 0)),
        (lambda: warehouse.pin(["a"]), State.PINNED, (7, 3, 0)),
        (lambda: warehouse.confirm(["a"]), State.CONFIRMED, (7, 0, 3)),
    ):
        assert [(await act())[0].state for _ in range(2)] == [state] * 2
        assert await stock(warehouse, 1) == books
    assert isinstance((await warehouse.release(["a"]))[0], NotHeld)
    assert await stock(warehouse, 1) == (7, 0, 3)


async def test_a_reserve_that_pins_takes_its_stock_once(warehouse, stock):
    """Stock that is pinned as it is reserved never expires, is taken once however often it is asked for, and is sold or returned."""
    requests = [checked_request(name, [(1, 3)], pin=True) for name in ("a", "b", "a")]
    answers = [*await warehouse.reserve(requests), *await warehouse.reserve(requests[:1]), *await warehouse.pin(["a"])]
    assert [answer.state for answer in answers] == [State.PINNED] * 5
    assert (await warehouse.ages()).overdue == 0
    assert await stock(warehouse, 1) == (4, 6, 0)
    assert len(await warehouse.expire(10)) == 0
    assert (await warehouse.confirm(["a"]))[0].state is State.CONFIRMED
    assert (await warehouse.release(["b"]))[0].state is State.RELEASED
    assert [(await warehouse.reserve([one]))[0].state for one in requests[:2]] == [State.CONFIRMED, State.RELEASED]
    assert await stock(warehouse, 1) == (7, 0, 3)


async def test_a_reserve_that_pins_pins_what_is_held(warehouse, stock):
    """What was only held before is pinned by a repeat that asks for it, and what fell short stores nothing."""
    await warehouse.reserve([checked_request("a", [(1, 3)])])
    again = [checked_request("a", [(1, 3)], pin=True), checked_request("b", [(1, 8)], pin=True)]
    assert [answer.state for answer in await warehouse.reserve(again)] == [State.PINNED, State.INSUFFICIENT]
    other = (await warehouse.reserve([checked_request("a", [(1, 1)], pin=True)]))[0]
    assert isinstance(other, OtherLines)
    assert (await warehouse.reserve([checked_request("b", [(1, 7)], pin=True)]))[0].state is State.PINNED
    assert await stock(warehouse, 1) == (0, 10, 0)


async def test_what_has_expired_is_not_pinned(short, stock):
    """A repeat that asks for the pin once the time has passed hears that it expired, and the sweeper returns the stock."""
    await short.reserve([checked_request("a", [(1, 3)])])
    assert (await short.reserve([checked_request("a", [(1, 3)], pin=True)]))[0].state is State.EXPIRED
    assert len(await short.expire(10)) == 1
    assert await stock(short, 1) == (10, 0, 0)


async def test_a_tombstone_bars_a_late_reservation(warehouse, stock):
    """A release that comes first bars the reservation that comes late, and takes nothing."""
    assert (await warehouse.release(["a"]))[0].state is State.RELEASED
    assert (await warehouse.reserve([checked_request("a", [(1, 3)])]))[0].state is State.RELEASED
    assert await stock(warehouse, 1) == (10, 0, 0)


async def test_a_checkout_has_one_set_of_lines(warehouse, stock):
    """Other lines under the same checkout are refused, and take nothing."""
    await warehouse.reserve([checked_request("a", [(1, 1)])])
    assert isinstance((await warehouse.reserve([checked_request("a", [(1, 2)])]))[0], OtherLines)
    assert await stock(warehouse, 1) == (9, 1, 0)


async def test_repeated_reserve_takes_once(warehouse, stock):
    """A reserve whose reply was lost can be sent again, also within one batch."""
    request = checked_request("a", [(1, 3)])
    answers = [*await warehouse.reserve([request, request]), *await warehouse.reserve([request])]
    assert {answer.state for answer in answers} == {State.HELD}
    assert await stock(warehouse, 1) == (7, 3, 0)


async def test_repeat_of_what_fell_short_in_the_same_batch(warehouse, stock):
    """INSUFFICIENT stores nothing, so that the same checkout is decided anew when it asks again."""
    request = checked_request("a", [(1, 11)])
    answers = await warehouse.reserve([request, request])
    assert [(answer.state, answer.short_product_id) for answer in answers] == [(State.INSUFFICIENT, 1)] * 2
    assert (await warehouse.reserve([checked_request("a", [(1, 10)])]))[0].state is State.HELD
    assert await stock(warehouse, 1) == (0, 10, 0)


async def test_a_batch_decides_each_item_alone(warehouse, stock):
    """An item that falls short leaves its neighbours held, and answers keep the order of the items."""
    answers = await warehouse.reserve(
        [checked_request("z", [(1, 6)]), checked_request("b", [(999, 1)]), checked_request("a", [(1, 4)])]
    )
    assert [answer.state for answer in answers] == [State.HELD, State.INSUFFICIENT, State.HELD]
    assert answers[1].short_product_id == 999
    assert await stock(warehouse, 1) == (0, 10, 0)


async def test_release_returns_stock_once(warehouse, stock):
    """Releasing twice returns the stock once, and what is released can be neither pinned nor confirmed."""
    await warehouse.reserve([checked_request("a", [(1, 3)])])
    for _ in range(2):
        assert (await warehouse.release(["a", "a"]))[1].state is State.RELEASED
    for act in (warehouse.pin, warehouse.confirm):
        assert isinstance((await act(["a"]))[0], NotHeld)
        assert isinstance((await act(["nobody"]))[0], NotHeld)
    assert await stock(warehouse, 1) == (10, 0, 0)


async def test_sweeper_returns_expired_stock_once(short, stock):
    """Once the time has passed no payment can begin, and the sweeper returns the stock once."""
    await short.reserve([checked_request("a", [(1, 3)])])
    assert isinstance((await short.pin(["a"]))[0], NotHeld)
    assert (await short.ages()).overdue > 0
    assert await short.pieces() == Pieces(available=27, reserved=3, sold=0)
    metrics = Metrics()
    sweeper = Sweeper(short, metrics)
    assert [await sweeper.run_once(), await sweeper.run_once()] == [1, 0]
    assert (await short.ages()).overdue == 0
    value = metrics.registry.get_sample_value
    assert [value("cartwright_stock_pieces", {"state": one}) for one in ("available", "reserved", "sold")] == [30, 0, 0]
    assert value("cartwright_reservation_overdue_seconds") == 0
    assert (await short.release(["a"]))[0].state is State.EXPIRED
    assert await stock(short, 1) == (10, 0, 0)


async def test_stock_that_cannot_be_returned_is_reported(short, monkeypatch):
    """While locks keep the sweeper from returning stock it still reports for how long the stock should have been for sale."""
    await short.reserve([checked_request("a", [(1, 3)])])

    async def locked(_):
        raise Unavailable("the database is busy; try again")

    monkeypatch.setattr(short, "expire", locked)
    metrics = Metrics()
    with pytest.raises(Unavailable):
        await Sweeper(short, metrics).run_once()
    assert metrics.registry.get_sample_value("cartwright_reservation_overdue_seconds") > 0


async def test_fifty_buyers_of_the_last_pieces(warehouse, stock):
    """Of fifty who reach for the last ten pieces at once, ten get one."""
    answers = await asyncio.gather(*(warehouse.reserve([checked_request(f"b{n}", [(1, 1)])]) for n in range(50)))
    states = [answer.state for (answer,) in answers]
    assert (states.count(State.HELD), states.count(State.INSUFFICIENT)) == (10, 40)
    assert await stock(warehouse, 1) == (0, 10, 0)


async def test_calls_in_any_order_keep_the_books(warehouse, stock):
    """Reserves, releases and confirms of the same checkouts, in opposite orders and at once, end with balanced books."""
    retry = Retrier("postgres", Metrics())
    ids = [f"m{n}" for n in range(6)]
    requests = [checked_request(name, [(1, 1), (2, 1), (3, 1)]) for name in ids]
    calls = (
        (warehouse.reserve, requests),
        (warehouse.release, ids[:3]),
        (warehouse.reserve, requests[::-1]),
        (warehouse.confirm, ids[::-1]),
    )

    async def send(act, items):
        await retry(lambda: act(items))

    await asyncio.gather(*(send(act, items) for _ in range(6) for act, items in calls))
    for product_id in (1, 2, 3):
        assert sum(await stock(warehouse, product_id)) == 10


@pytest.mark.real
async def test_a_reserve_that_waits_for_its_head_holds_no_stock(db, real_warehouse):
    """A reserve and the release of the same checkout cannot wait for each other in a circle."""
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO reservation VALUES ('late', 'RELEASED', '[]', clock_timestamp())")
        late = asyncio.create_task(real_warehouse.reserve([checked_request("late", [(1, 1)])]))
        async with asyncio.timeout(5):
            while not await db.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - the server's state
                await asyncio.sleep(0.01)
        await connection.fetch("SELECT 1 FROM stock WHERE product_id = 1 FOR UPDATE NOWAIT")
    assert (await late)[0].state is State.RELEASED


@pytest.mark.real
async def test_a_pin_looks_at_the_clock_after_its_lock(db, real_warehouse, stock):
    """A reservation that expires while its pin waits for a lock is not pinned: no payment begins for it."""
    await real_warehouse.reserve([checked_request("late", [(1, 1)])])
    async with db.transaction() as connection:
        await connection.execute("SELECT 1 FROM reservation WHERE checkout_id = 'late' FOR UPDATE")
        late = asyncio.create_task(real_warehouse.pin(["late"]))
        async with asyncio.timeout(5):
            while not await db.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - the server's state
                await asyncio.sleep(0.01)
        await connection.execute("UPDATE reservation SET expires_at = clock_timestamp() WHERE checkout_id = 'late'")
    assert isinstance((await late)[0], NotHeld)
    assert len(await real_warehouse.expire(10)) == 1
    assert await stock(real_warehouse, 1) == (10, 0, 0)


@pytest.mark.real
async def test_what_is_pinned_is_not_swept(db, real_warehouse, stock):
    """The sweeper leaves pinned stock alone, whatever its time says: a payment may be under way for it."""
    await real_warehouse.reserve([checked_request("a", [(1, 3)])])
    await real_warehouse.pin(["a"])
    await db.fetch("UPDATE reservation SET expires_at = '-infinity'")
    assert len(await real_warehouse.expire(10)) == 0
    assert await stock(real_warehouse, 1) == (7, 3, 0)


async def test_a_confirm_does_not_ask_for_the_time(short, stock):
    """What no sweeper has returned is still held, and is sold to whoever has paid for it, however late the confirm comes."""
    await short.reserve([checked_request("a", [(1, 3)])])
    assert (await short.confirm(["a"]))[0].state is State.CONFIRMED
    assert len(await short.expire(10)) == 0
    assert await stock(short, 1) == (7, 0, 3)


@pytest.mark.real
async def test_of_a_confirm_and_an_expiry_one_wins(db, stock):
    """Of a confirm and an expiry that meet exactly one wins, a hundred times."""
    short = PostgresWarehouse(db, ttl=0)
    for number in range(100):
        await short.restock([Delivery(f"delivery-{number}", 2, 1)])
        available, reserved, sold = await stock(short, 2)
        await short.reserve([checked_request(f"race-{number}", [(2, 1)])])
        confirmed, _ = await asyncio.gather(short.confirm([f"race-{number}"]), short.expire(100))
        won = not isinstance(confirmed[0], Fault)
        assert await stock(short, 2) == (available - won, reserved, sold + won)


@pytest.mark.real
async def test_the_oldest_reservations_are_found_by_an_index(db):
    """How old the reservations are that hold stock is asked for every few seconds: it must not read those of the past."""
    await db.fetch(
        "INSERT INTO reservation (checkout_id, state, lines, expires_at)"
        " SELECT 'past-' || n, 'CONFIRMED', '[]', 'infinity' FROM generate_series(1, 20000) AS n"
    )
    found = await db.fetch(f"EXPLAIN {OLDEST}")
    text = "\n".join(row[0] for row in found)
    assert "Seq Scan" not in text, text
    assert "reservation_expiring" in text
    assert "reservation_pinned" in text


@pytest.mark.real
async def test_no_function_is_planned_at_each_call(db):
    """What a purchase calls is planned once a session; PostgreSQL before 18 plans functions in SQL at each call."""
    names = await db.fetch(
        "SELECT p.proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
        " WHERE p.pronamespace = 'inventory'::regnamespace AND l.lanname = 'sql'"
    )
    assert [name for (name,) in names] == []


async def test_restock_counts_once(warehouse, stock):
    """A delivery that is announced twice is one delivery; one for an unknown product is refused alone."""
    for _ in range(2):
        counted, refused = await warehouse.restock([Delivery("d1", 1, 5), Delivery("d2", 999, 5)])
        assert counted.available == 15
        assert isinstance(refused, Exception)
    assert await stock(warehouse, 1) == (15, 0, 0)


@pytest.mark.real
async def test_restock_of_a_product_that_is_made_later(real_warehouse, url):
    """A delivery that was refused because its product was not there yet counts when it comes again."""
    await real_warehouse.restock([Delivery("d", 7, 5)])
    owner = await asyncpg.connect(url)
    await owner.execute("INSERT INTO inventory.stock (product_id, received, available) VALUES (7, 0, 0)")
    await owner.close()
    assert (await real_warehouse.restock([Delivery("d", 7, 5)]))[0].available == 5


@pytest.mark.real
@pytest.mark.parametrize("sql", ["CREATE TABLE t (x int)", "DELETE FROM stock", "UPDATE restock SET quantity = 1"])
async def test_role_may_not_do_more_than_it_needs(db, sql):
    """The service's role can neither change tables nor rewrite what has been received."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.fetch(sql)


@edge_ids
async def test_ids_of_64_bits_come_back_as_plain_numbers(warehouse, list_product, edge):
    """Products with ids of any size are held, sold, returned and delivered, in the domain's own types."""
    await list_product(warehouse, edge)
    held, short = await warehouse.reserve([checked_request("a", [(edge, 3)]), checked_request("b", [(edge, 8)])])
    assert (held.state, short.state, short.short_product_id) == (State.HELD, State.INSUFFICIENT, edge)
    assert_plain([held, short, *await warehouse.pin(["a"]), *await warehouse.confirm(["a"])])
    assert_plain(await warehouse.release(["c"]))
    [delivered] = await warehouse.restock([Delivery(f"r{edge}", edge, 5)])
    assert (delivered.product_id, delivered.available, delivered.sold) == (edge, 12, 3)
    assert_plain(delivered)
    assert_plain(await warehouse.expire(10))
    assert_plain(await warehouse.ages())
    assert_plain(await warehouse.pieces())


async def test_reservations_and_stock_are_shown_as_they_are_stored(warehouse):
    """Reading gives the state and lines of each reservation, none of a tombstone, and the stock of every product by its id."""
    await warehouse.reserve([checked_request("a", [(1, 3), (2, 1)])])
    await warehouse.reserve([checked_request("b", [(2, 4)], pin=True)])
    await warehouse.confirm(["b"])
    await warehouse.release(["c"])
    held, sold, barred, unknown = await warehouse.records(["a", "b", "c", "d"])
    assert (held.state, held.lines, held.expires_at is None) == (State.HELD, ((1, 3), (2, 1)), False)
    assert (sold.state, sold.lines, sold.expires_at) == (State.CONFIRMED, ((2, 4),), None)
    assert (barred.state, barred.lines) == (State.RELEASED, ())
    assert isinstance(unknown, UnknownReservation)
    stock = [(one.product_id, one.available, one.reserved, one.sold) for one in await warehouse.list_stock()]
    assert stock == [(1, 7, 3, 0), (2, 5, 1, 4), (3, 10, 0, 0)]
    assert_plain([held, sold, *await warehouse.list_stock()])
