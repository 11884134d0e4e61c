"""Orders, and the errors of asking for them."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from services.error_codes import ErrorCode
from services.errors import Invalid, NotFound

MAX_PAGE = 100


class UnknownOrder(NotFound):
    """No order of this user has this id."""

    default_code = ErrorCode.ORDER_NOT_FOUND

    def __init__(self) -> None:
        super().__init__("order not found")


class InvalidOrderId(Invalid):
    """The text is not an order id."""

    default_code = ErrorCode.ORDER_ID_INVALID

    def __init__(self) -> None:
        super().__init__("an order id must be a UUID")


class InvalidPage(Invalid):
    """The limit or the cursor of a page is invalid."""

    default_code = ErrorCode.PARAMETER_INVALID


class InvalidEvent(ValueError):
    """No order can be created from the event, now or later."""


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A product that was bought, and the price that was paid for one of it, in minor units."""

    product_id: int
    name: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Order:
    """What one completed checkout bought. Amounts are in minor units."""

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
    """Orders, newest first, and the cursor of the next page; None on the last page."""

    orders: tuple[Order, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Asks for one page of a user's orders; None as the cursor asks for the first one."""

    user_id: int
    limit: int
    cursor: str | None


def parse_order_id(text: str) -> str:
    """Return the order id in canonical form; InvalidOrderId if the text is not a UUID."""
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise InvalidOrderId from error


def validated(order: Order) -> Order:
    """Return the order; InvalidEvent if a part is missing or the total is not the sum of the lines."""
    if order.user_id < 1 or not order.checkout_id or not order.lines:
        raise InvalidEvent("an order must have a user, a checkout and lines")
    if order.total_minor != sum(line.quantity * line.unit_price_minor for line in order.lines):
        raise InvalidEvent("the total is not the sum of the lines")
    return order
