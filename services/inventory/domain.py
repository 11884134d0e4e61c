"""Reservations of stock, and what is wrong with a request for one."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.errors import Conflict, Invalid, NotFound

MAX_LINES = 100
MAX_QUANTITY = 10_000


class State(StrEnum):
    """The state of a reservation. INSUFFICIENT is an answer only; it is never stored."""

    HELD = "HELD"
    PINNED = "PINNED"
    CONFIRMED = "CONFIRMED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    INSUFFICIENT = "INSUFFICIENT"


class NotHeld(Conflict):
    """The state of the reservation does not allow the request."""

    def __init__(self, checkout_id: str, state: str) -> None:
        super().__init__(f"the reservation is {state or 'unknown'}")
        self.checkout_id = checkout_id
        self.state = state


class UnknownReservation(NotFound):
    """The checkout has no reservation."""

    def __init__(self) -> None:
        super().__init__("this checkout has no reservation")


class OtherLines(Invalid):
    """The checkout already has a reservation of other lines."""

    def __init__(self) -> None:
        super().__init__("this checkout has reserved other lines")


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """Lines of (product id, quantity) to hold for a checkout, ordered by product id; with `pin` without an expiry."""

    checkout_id: str
    lines: tuple[tuple[int, int], ...]
    pin: bool = False
    traceparent: str = field(default="", compare=False)
    """The span that asks; empty where no traces are recorded."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation; with INSUFFICIENT `short_product_id` is the first product of which there is too little."""

    checkout_id: str
    state: State
    short_product_id: int | None = None


@dataclass(frozen=True, slots=True)
class ExpiredReservation:
    """A reservation that was taken back, and the traceparent of the request for it; empty where no traces were recorded."""

    checkout_id: str
    traceparent: str


@dataclass(frozen=True, slots=True)
class ReservationRecord:
    """A reservation as it is stored: lines of (product id, quantity), none in a tombstone. HELD alone expires."""

    checkout_id: str
    state: State
    lines: tuple[tuple[int, int], ...]
    created_at: datetime
    changed_at: datetime
    expires_at: datetime | None


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


def checked_request(
    checkout_id: str, lines: list[tuple[int, int]], *, pin: bool = False, traceparent: str = ""
) -> ReservationRequest:
    """Return the request; Invalid says what is wrong with it."""
    if not 1 <= len(lines) <= MAX_LINES:
        raise Invalid(f"a reservation has 1 to {MAX_LINES} lines")
    if len({product_id for product_id, _ in lines}) != len(lines):
        raise Invalid("a product stands in one line only")
    if any(product_id < 1 or not 1 <= quantity <= MAX_QUANTITY for product_id, quantity in lines):
        raise Invalid(f"product ids are positive, quantities 1 to {MAX_QUANTITY}")
    return ReservationRequest(checked_id(checkout_id), tuple(sorted(lines)), pin, traceparent)


def checked_id(text: str) -> str:
    """Return the id; Invalid when it is malformed."""
    if not 1 <= len(text) <= 255 or not text.isprintable():  # noqa: PLR2004 - as every id
        raise Invalid("an id has 1 to 255 printable characters")
    return text


@dataclass(frozen=True, slots=True)
class Ages:
    """How old the oldest reservations are, in seconds; 0 where there is none."""

    held: float
    pinned: float
    overdue: float
    """How long ago the first held one expired that has not been returned to stock."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """How much stock there is, over all products."""

    available: int
    reserved: int
    sold: int
