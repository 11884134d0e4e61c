"""Orders are made once of every completed checkout, and read by their owner."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import structlog
from google.protobuf.json_format import MessageToJson

from services.chassis.messages import Message
from services.chassis.telemetry import Metrics
from services.orders.api import OrdersApi
from services.orders.consumer import OrderCreator
from services.orders.domain import (
    InvalidEvent,
    InvalidOrderId,
    InvalidPage,
    Order,
    OrderLine,
    PageRequest,
    UnknownOrder,
)
from services.orders.usecases import OrderQueries
from services.pb import events_pb2, orders_pb2
from tests.plain import assert_plain, edge_ids

NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)
INVALID, NOT_FOUND = 3, 5  # gRPC status codes


def make_order(user, minutes=0, **other):
    """Give an order of two laptops."""
    return Order(
        **{
            "id": str(uuid.uuid4()),
            "checkout_id": str(uuid.uuid4()),
            "user_id": user,
            "total_minor": 259998,
            "currency": "USD",
            "lines": (OrderLine(1, "Laptop", 2, 129999),),
            "created_at": NOON + timedelta(minutes=minutes),
        }
        | other
    )


def event_of(order, **other):
    """Give the message that announces the order's checkout."""
    event = events_pb2.CheckoutCompleted(
        event_id="e",
        checkout_id=order.checkout_id,
        user_id=order.user_id,
        order_id=order.id,
        total_minor=order.total_minor,
        currency="USD",
        completed_at_ms=int(order.created_at.timestamp() * 1000),
        lines=[events_pb2.PurchasedLine(product_id=1, product_name="Laptop", quantity=2, unit_price_minor=129999)],
    )
    event.MergeFrom(events_pb2.CheckoutCompleted(**other))
    return Message("checkout-events", 0, 0, str(order.user_id).encode(), MessageToJson(event).encode(), {})


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def creator(orders, metrics):
    return OrderCreator(orders, structlog.get_logger(), metrics)


async def test_an_order_is_what_the_event_says(orders, creator, user):
    """The order made of an event can be read back by its owner, whole."""
    order = make_order(user)
    await creator.handle([event_of(order)])
    assert await OrderQueries(orders).get_orders([(user, order.id)]) == [order]


async def test_an_event_that_comes_again_makes_no_second_order(orders, creator, metrics, user):
    """However often an event comes, in one batch or in many, there is one order, and the repeats are counted."""
    order = make_order(user)
    await creator.handle([event_of(order), event_of(order)])
    await creator.handle([event_of(order)])
    [page] = await OrderQueries(orders).list_orders([PageRequest(user, 10, None)])
    assert page.orders == (order,)
    assert metrics.registry.get_sample_value("cartwright_events_duplicate_total") == 2
    assert metrics.registry.get_sample_value("cartwright_orders_made_total") == 1


async def test_a_checkout_has_one_order_whatever_its_id(orders, user):
    """A second order for the same checkout is not kept, even under another id."""
    order = make_order(user)
    assert await orders.add([order]) == 1
    assert await orders.add([make_order(user, checkout_id=order.checkout_id)]) == 0


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"total_minor": 1}, InvalidEvent),
        ({"checkout_id": ""}, InvalidEvent),
        ({"user_id": -1}, InvalidEvent),
        ({"id": "x"}, InvalidOrderId),
    ],
)
async def test_a_bad_event_makes_no_order(orders, creator, user, other, error):
    """An event whose figures or ids do not agree is refused, and nothing of its batch is kept."""
    good = make_order(user)
    with pytest.raises(error):
        await creator.handle([event_of(good), event_of(make_order(user, **other))])
    [page] = await OrderQueries(orders).list_orders([PageRequest(user, 10, None)])
    assert page.orders == ()


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"\xff",
        b'{"checkoutId": "\xff"}',
        b"[" * 100_000,
        b'{"more": ' + b"[" * 100_000,
        b'{"userId": 1e400}',
        b'{"userId": "9223372036854775808"}',
        b'{"lines": [{"quantity": 2147483648}]}',
        b'{"checkoutId": "\\ud800"}',
        b"",
        None,
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_what_is_no_event_is_refused(creator, value):
    """A message that is no event of ours raises and is not skipped in silence; so does a tombstone."""
    with pytest.raises(InvalidEvent):
        await creator.handle([Message("checkout-events", 0, 0, b"1", value, {})])


@pytest.mark.parametrize("completed_at_ms", [2**63 - 1, -(2**63), 253_402_300_800_000])
async def test_a_time_outside_the_calendar_is_refused(creator, user, completed_at_ms):
    """A time that no date can show makes no order, and is the event's own fault."""
    with pytest.raises((InvalidEvent, ValueError, OverflowError)):
        await creator.handle([event_of(make_order(user), completed_at_ms=completed_at_ms)])


async def test_pages_give_every_order_once_newest_first(orders, user):
    """Going through the pages gives each order once, newest first, also those of one moment."""
    made = [make_order(user, minutes=number // 2) for number in range(7)]
    await orders.add([*made, make_order(user + 1)])
    seen, cursor = [], None
    while True:
        [page] = await OrderQueries(orders).list_orders([PageRequest(user, 3, cursor)])
        seen += page.orders
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == sorted(made, key=lambda order: (order.created_at, order.id), reverse=True)


@pytest.mark.parametrize("size", [1, 2, 50])
async def test_pages_of_a_batch_are_each_their_own(orders, user, size):
    """Each item of a batch has its own user's page, with its own limit and cursor, also one that is there twice; a bad one fails alone."""
    users = [user + number for number in range(size)]
    made = {owner: [make_order(owner, minutes=number) for number in range(3)] for owner in users}
    await orders.add([order for some in made.values() for order in some])
    asks = [PageRequest(owner, 1 + number % 3, None) for number, owner in enumerate(users)]
    *pages, bad = await OrderQueries(orders).list_orders([*asks, asks[0], PageRequest(user, 1, "x")])
    assert isinstance(bad, InvalidPage)
    for ask, page in zip([*asks, asks[0]], pages, strict=True):
        assert page.orders == tuple(made[ask.user_id][::-1][: ask.limit])
        assert bool(page.next_cursor) == (ask.limit < 3)
    rest = [
        PageRequest(ask.user_id, 3, page.next_cursor)
        for ask, page in zip(asks, pages, strict=False)
        if page.next_cursor
    ]
    for ask, page in zip(rest, await OrderQueries(orders).list_orders(rest), strict=True):
        assert page.orders == tuple(
            order for order in made[ask.user_id][::-1] if order not in pages[users.index(ask.user_id)].orders
        )


@pytest.mark.parametrize("size", [1, 2, 50])
async def test_orders_of_a_batch_are_made_at_once(orders, creator, metrics, user, size):
    """A batch of events makes an order each, in one go; an event that is in it twice, or came before, makes none."""
    made = [make_order(user, minutes=number) for number in range(size)]
    await creator.handle([event_of(order) for order in [made[0], *made]])
    found = await OrderQueries(orders).get_orders([(user, order.id) for order in made])
    assert found == made
    assert metrics.registry.get_sample_value("cartwright_orders_made_total") == size
    assert metrics.registry.get_sample_value("cartwright_events_duplicate_total") == 1


async def test_partitions_add_their_orders_together(orders, user):
    """What several partitions add at once is there, each is told how many were its own, and one that is refused fails alone."""
    batches = [[make_order(user, minutes=number), make_order(user)] for number in range(4)]
    batches.append([batches[0][0]])
    assert sum(await asyncio.gather(*(orders.add(batch) for batch in batches))) == 8
    assert await asyncio.gather(*(orders.add(batch) for batch in batches)) == [0] * 5


@pytest.mark.real
async def test_a_batch_that_the_database_refuses_fails_alone(postgres_orders, user):
    """Where the database refuses an order, the batch that it is in fails, and those of other partitions are added."""
    orders = postgres_orders
    good, bad = make_order(user), make_order(user, user_id=0)
    first, failed, second = await asyncio.gather(
        orders.add([good]), orders.add([make_order(user), bad]), orders.add([make_order(user)]), return_exceptions=True
    )
    assert (first, type(failed), second) == (1, asyncpg.CheckViolationError, 1)
    [page] = await orders.pages([PageRequest(user, 10, None)])
    assert len(page.orders) == 2


@pytest.mark.parametrize("cursor", ["x", "!!", "é", "AAAA", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5Lng", "\x00"])
async def test_a_cursor_that_is_not_ours_is_refused_alone(orders, user, cursor):
    """A bad cursor is the caller's error, and does not touch the other pages of the batch."""
    bad, good = await OrderQueries(orders).list_orders([PageRequest(user, 3, cursor), PageRequest(user, 3, None)])
    assert isinstance(bad, InvalidPage)
    assert good.orders == ()


async def test_an_order_is_its_owners_alone(orders, user):
    """Another user's order is not found, also where its owner asks for it in the same batch."""
    order = make_order(user)
    await orders.add([order])
    mine, theirs = await OrderQueries(orders).get_orders([(user, order.id), (user + 1, order.id)])
    assert mine == order
    assert isinstance(theirs, UnknownOrder)


async def test_bad_items_of_a_batch_are_refused_alone(orders, user):
    """Over gRPC each item has its own outcome, in the order of the questions."""
    order = make_order(user)
    await orders.add([order])
    asked = [(user, order.id), (user, "no-uuid"), (user, str(uuid.uuid4())), (0, order.id)]
    items = [orders_pb2.GetOrder(user_id=user_id, order_id=order_id) for user_id, order_id in asked]
    reply = await OrdersApi(OrderQueries(orders)).GetOrders(orders_pb2.GetOrdersRequest(items=items), None)
    assert reply.results[0].order.total_minor == order.total_minor
    assert [result.refusal.code for result in reply.results[1:]] == [INVALID, NOT_FOUND, INVALID]


@pytest.mark.parametrize("limit", [-1, 0, 101])
async def test_a_page_holds_1_to_100_orders(orders, user, limit):
    """A limit outside 1 to 100 is refused."""
    request = orders_pb2.ListOrdersRequest(items=[orders_pb2.ListOrders(user_id=user, limit=limit)])
    reply = await OrdersApi(OrderQueries(orders)).ListOrders(request, None)
    assert reply.results[0].refusal.code == INVALID


@edge_ids
async def test_ids_of_64_bits_come_back_as_plain_numbers(orders, creator, edge):
    """An event with ids of any size becomes an order that is read back, and sent on, with the same numbers."""
    owner = 2**63 - 1 - uuid.uuid4().int % 2**20 if edge == 2**63 - 1 else edge + uuid.uuid4().int % 2**20
    order = make_order(owner, total_minor=edge, lines=(OrderLine(edge, "Laptop", 1, edge),))
    line = events_pb2.PurchasedLine(product_id=edge, product_name="Laptop", quantity=1, unit_price_minor=edge)
    event = events_pb2.CheckoutCompleted(
        checkout_id=order.checkout_id,
        user_id=owner,
        order_id=order.id,
        total_minor=edge,
        currency="USD",
        completed_at_ms=int(order.created_at.timestamp() * 1000),
        lines=[line],
    )
    await creator.handle([Message("checkout-events", 0, 0, str(owner), MessageToJson(event).encode(), {})])
    assert await OrderQueries(orders).get_orders([(owner, order.id)]) == [order]
    [page] = await OrderQueries(orders).list_orders([PageRequest(owner, 10, None)])
    assert_plain(page)
    items = [orders_pb2.GetOrder(user_id=owner, order_id=order.id)]
    reply = await OrdersApi(OrderQueries(orders)).GetOrders(orders_pb2.GetOrdersRequest(items=items), None)
    sent = reply.results[0].order
    assert (sent.user_id, sent.total_minor, sent.lines[0].product_id) == (owner, edge, edge)
