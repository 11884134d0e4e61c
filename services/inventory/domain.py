"""Reservations of stock, and what can be wrong with asking for one."""

from dataclasses import dataclass
from enum import StrEnum

from services.errors import Conflict, Invalid

MAX_LINES = 100
MAX_QUANTITY = 10_000


class State(StrEnum):
    """What holds of a reservation. INSUFFICIENT is an answer only, never stored."""

    HELD = "HELD"
    PINNED = "PINNED"
    CONFIRMED = "CONFIRMED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    INSUFFICIENT = "INSUFFICIENT"


class NotHeld(Conflict):
    """The reservation is not in a state that allows what was asked."""

    def __init__(self, checkout_id: str, state: str) -> None:
        super().__init__(f"the reservation is {state or 'unknown'}")
        self.checkout_id = checkout_id
        self.state = state


class OtherLines(Invalid):
    """The checkout has reserved other lines before."""

    def __init__(self) -> None:
        super().__init__("this checkout has reserved other lines")


@dataclass(frozen=True, slots=True)
class Want:
    """Lines of (product id, quantity) to hold for a checkout, by product id."""

    checkout_id: str
    lines: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """The answer; `product_id` is the first product that fell short, with INSUFFICIENT."""

    checkout_id: str
    state: State
    product_id: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """Received stock; `restock_id` makes it count once."""

    restock_id: str
    product_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Stock:
    """The stock of a product; received = available + reserved + sold."""

    product_id: int
    available: int
    reserved: int
    sold: int


def want(checkout_id: str, lines: list[tuple[int, int]]) -> Want:
    """Give a checked wish; Invalid says what is wrong with it."""
    if not 1 <= len(lines) <= MAX_LINES:
        raise Invalid(f"a reservation has 1 to {MAX_LINES} lines")
    if len({product_id for product_id, _ in lines}) != len(lines):
        raise Invalid("a product stands in one line only")
    if any(product_id < 1 or not 1 <= quantity <= MAX_QUANTITY for product_id, quantity in lines):
        raise Invalid(f"product ids are positive, quantities 1 to {MAX_QUANTITY}")
    return Want(checked_id(checkout_id), tuple(sorted(lines)))


def checked_id(text: str) -> str:
    """Give the id, or raise Invalid."""
    if not 1 <= len(text) <= 255 or not text.isprintable():  # noqa: PLR2004 - as every id
        raise Invalid("an id has 1 to 255 printable characters")
    return text
