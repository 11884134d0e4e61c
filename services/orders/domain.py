"""An order, and what can be wrong with asking for one."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from services.errors import Invalid, NotFound

MAX_PAGE = 100


class UnknownOrder(NotFound):
    """No order of this user has this id."""

    def __init__(self) -> None:
        super().__init__("order not found")


class NotAnId(Invalid):
    """It is no order's id."""

    def __init__(self) -> None:
        super().__init__("an order's id is a UUID")


class BadPage(Invalid):
    """The page asked for is not one."""


class BadEvent(ValueError):
    """An event that no order can be made of; it will not get better."""


@dataclass(frozen=True, slots=True)
class OrderLine:
    """What was bought, at the price that was paid, in minor units."""

    product_id: int
    name: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Order:
    """What one completed checkout bought."""

    id: str
    checkout_id: str
    user_id: int
    total_minor: int
    currency: str
    lines: tuple[OrderLine, ...]
    created_at: datetime
    status: str = "CONFIRMED"


@dataclass(frozen=True, slots=True)
class Page:
    """Orders, newest first, and where the next page begins; empty at the end."""

    orders: tuple[Order, ...]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A page of a user's orders to give."""

    user_id: int
    limit: int
    cursor: str


def checked_id(text: str) -> str:
    """Give an order's id in its usual form, or raise NotAnId."""
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise NotAnId from error


def checked(order: Order) -> Order:
    """Give the order, or raise BadEvent where its figures do not agree."""
    if order.user_id < 1 or not order.checkout_id or not order.lines:
        raise BadEvent("an order has a user, a checkout and lines")
    if order.total_minor != sum(line.quantity * line.unit_price_minor for line in order.lines):
        raise BadEvent("the total is not the sum of the lines")
    return order
