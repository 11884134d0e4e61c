"""Purchases leave carts by events, and a message that is no event changes no cart."""

import asyncio

import pytest
import structlog
from google.protobuf.json_format import MessageToJson

from services.cart.consumer import BadEvent, PurchaseRemover
from services.cart.domain import BadPurchase, Cart, Purchase
from services.chassis.messages import Message
from services.chassis.telemetry import Metrics
from services.errors import Unavailable
from services.pb import events_pb2 as pb

NOW = 1_800_000_000.0
MOST = 2**63 - 1  # the greatest user id and product id


class Carts:
    """Remembers what was removed from carts."""

    def __init__(self):
        self.removed = []
        self.errors = {}
        self.calls = 0

    async def remove(self, asked):
        self.calls += 1
        self.removed += asked
        return [self.errors.get(user_id, Cart(user_id)) for user_id, _ in asked]


@pytest.fixture
def carts():
    """Carts of which nothing was removed yet."""
    return Carts()


@pytest.fixture
def metrics():
    """The consumer's metrics."""
    return Metrics()


@pytest.fixture
def handle(carts, metrics):
    """Handle messages with these values, in order, at NOW."""
    remover = PurchaseRemover(carts.remove, structlog.get_logger(), metrics, clock=lambda: NOW)

    async def handle(*values):
        await remover.handle([Message("t", 0, offset, None, value, {}) for offset, value in enumerate(values)])

    return handle


def event(user_id=1, checkout_id="c", line_ids=("l1",), quantity=2, completed_at_ms=0):
    """Give the value of a message that announces a completed checkout."""
    lines = [pb.PurchasedLine(line_id=line_id, product_id=MOST, quantity=quantity) for line_id in line_ids]
    told = pb.CheckoutCompleted(user_id=user_id, checkout_id=checkout_id, lines=lines, completed_at_ms=completed_at_ms)
    return MessageToJson(told).encode()


async def test_how_long_a_purchase_stayed_in_the_cart(handle, carts, metrics):
    """The time from completion to removal is counted; a clock that is behind counts as none, and what left no cart does not count."""
    ms = int(NOW * 1000)
    carts.errors[4] = Unavailable("away")
    await handle(event(1, "c1", completed_at_ms=ms - 2500), event(2, "c2", completed_at_ms=ms + 9000))
    await handle(event(3, "c3", ("",), completed_at_ms=ms - 9000), event(3, "c4"))
    with pytest.raises(Unavailable):
        await handle(event(4, "c5", completed_at_ms=ms - 9000))
    value = metrics.registry.get_sample_value
    assert value("cartwright_cart_cleared_seconds_sum") == 2.5
    assert value("cartwright_cart_cleared_seconds_bucket", {"le": "2.0"}) == 1
    assert value("cartwright_cart_cleared_seconds_count") == 2


async def test_purchases_are_removed_in_order(handle, carts):
    """Each purchase leaves its user's cart, in the order of the messages; items of a checkout's own were in no cart."""
    await handle(event(1, "c1"), event(MOST, "c2", ("",)), event(MOST, "c3"), event(1, "c4"))
    lines = (("l1", 2),)
    assert carts.removed == [(1, [Purchase("c1", lines), Purchase("c4", lines)]), (MOST, [Purchase("c3", lines)])]


async def test_what_a_later_event_says_besides_is_ignored(handle, carts):
    """A field that this version does not know changes nothing, and numbers may stand as such or as text."""
    line = '{"lineId": "l1", "quantity": "2", "colour": null}'
    await handle(f'{{"userId": {MOST}, "checkoutId": "c", "more": [{{}}], "lines": [{line}]}}'.encode())
    assert carts.removed == [(MOST, [Purchase("c", (("l1", 2),))])]


async def test_a_cart_that_fails_leaves_the_others_alone(handle, carts):
    """Where one cart cannot be changed, the batch fails, so that its messages come again; the other purchases are removed."""
    carts.errors[2] = Unavailable("away")
    with pytest.raises(Unavailable):
        await handle(event(1), event(2), event(3))
    assert [user_id for user_id, _ in carts.removed] == [1, 2, 3]


async def test_partitions_remove_together(handle, carts):
    """What several partitions bring at once is removed in one go, and each partition is told about its own messages alone."""
    carts.errors[3] = Unavailable("away")
    outcomes = await asyncio.gather(
        *(handle(event(user), event(user + 10)) for user in range(1, 5)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), Unavailable, type(None)]
    assert sorted(user_id for user_id, _ in carts.removed) == [1, 2, 3, 4, 11, 12, 13, 14]
    assert carts.calls == 1


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, BadEvent),
        (b"", BadEvent),
        (b"\xff", BadEvent),
        (b'{"checkoutId": "\xff"}', BadEvent),
        (b"[" * 100_000, BadEvent),
        (b'{"more": ' + b"[" * 100_000, BadEvent),
        (b'{"userId": 9223372036854775808, "checkoutId": "c"}', BadEvent),
        (b'{"userId": 1, "checkoutId": "c", "lines": [{"lineId": "l", "quantity": 2147483648}]}', BadEvent),
        (event(user_id=0), BadEvent),
        (event(user_id=-1), BadEvent),
        (event(checkout_id=""), BadEvent),
        (event(quantity=0), BadPurchase),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_a_batch_with_a_message_that_is_no_event_changes_nothing(handle, carts, value, error):
    """The error is raised before any cart of the batch is changed, so that the good events are applied once, in order."""
    with pytest.raises(error):
        await handle(event(), value, event())
    assert carts.removed == []
