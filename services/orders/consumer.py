"""Creates one order for each completed checkout, however often the event arrives."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from services.chassis.logs import Logger
from services.chassis.messages import Message
from services.chassis.proto_json import Int32, Int64, Reader, Unreadable
from services.chassis.telemetry import Metrics
from services.orders.domain import InvalidEvent, Order, OrderLine, parse_order_id, validated


class Orders(Protocol):
    """Where orders are kept."""

    async def add(self, orders: Sequence[Order]) -> int:
        """Add the orders whose checkout has none yet; return how many were added."""


class OrderCreator:
    """Handles messages of the topic of checkouts."""

    def __init__(self, orders: Orders, log: Logger, metrics: Metrics) -> None:
        self._orders = orders
        self._log = log
        self._duplicates = metrics.counter("cartwright_events_duplicate_total", "Events that came again.")
        self._made = metrics.counter("cartwright_orders_made_total", "Orders made.")

    async def handle(self, messages: Sequence[Message]) -> None:
        """Create the orders of a batch. If one message holds no order, raise what `order_of` raises and create none."""
        orders = [order_of(message) for message in messages]
        new = await self._orders.add(orders)
        self._made.inc(new)
        self._duplicates.inc(len(orders) - new)
        for message, order in zip(messages, orders, strict=True):
            request_id, trace_id = message.headers.get("request_id", ""), message.trace_id
            self._log.info(
                "order", order_id=order.id, checkout_id=order.checkout_id, request_id=request_id, trace_id=trace_id
            )


class PurchasedLine(msgspec.Struct, rename="camel"):
    """What an order needs to know of an event's line."""

    product_id: Int64 = 0
    product_name: str = ""
    quantity: Int32 = 0
    unit_price_minor: Int64 = 0


class CheckoutCompleted(msgspec.Struct, rename="camel"):
    """What an order needs to know of the event of that name in protos/events.proto."""

    checkout_id: str = ""
    user_id: Int64 = 0
    order_id: str = ""
    lines: tuple[PurchasedLine, ...] = ()
    total_minor: Int64 = 0
    currency: str = ""
    completed_at_ms: Int64 = 0


_read = Reader(CheckoutCompleted)


def order_of(message: Message) -> Order:
    """Return the order that an event announces.

    If the message holds none: InvalidEvent, InvalidOrderId, or ValueError or OverflowError for its time.
    """
    try:
        event = _read(message.value)
    except Unreadable as error:
        raise InvalidEvent(str(error)) from error
    lines = tuple(
        OrderLine(line.product_id, line.product_name, line.quantity, line.unit_price_minor) for line in event.lines
    )
    return validated(
        Order(
            id=parse_order_id(event.order_id),
            checkout_id=event.checkout_id,
            user_id=event.user_id,
            total_minor=event.total_minor,
            currency=event.currency,
            lines=lines,
            created_at=datetime.fromtimestamp(event.completed_at_ms / 1000, UTC),
        )
    )
