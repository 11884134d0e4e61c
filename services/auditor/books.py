"""The rows of the books, as the auditor reads them: no more of each than a comparison needs. Pure.

Amounts are in minor units, times are those of the database that holds the row.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Book(StrEnum):
    """A set of rows that one store holds."""

    CHECKOUTS = "checkouts"
    PAYMENTS = "payments"
    BANK = "bank"
    RESERVATIONS = "reservations"
    STOCK = "stock"
    ORDERS = "orders"
    OUTBOX = "outbox"
    TOPIC = "topic"
    CARTS = "carts"
    CACHE = "cache"
    RESOURCES = "resources"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a checkout or of an order. `line_id` is that of the cart; empty for an item of a resource."""

    product_id: int
    quantity: int
    unit_price_minor: int
    line_id: str = ""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A row of `checkout_sessions`. `ended_at` is None while it runs."""

    id: str
    user_id: int
    source: str
    status: str
    version: int
    total_minor: int
    currency: str
    order_id: str
    lines: tuple[Line, ...]
    ended_at: datetime | None
    cart_version: int | None = None
    cleared_version: int | None = None

    @property
    def is_completed(self) -> bool:
        """Whether it is bought."""
        return self.status == "COMPLETED"

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.status == "PROCESSING"


@dataclass(frozen=True, slots=True)
class Payment:
    """A row of `payments`. `at` is when it was decided, or when it began where it is not."""

    checkout_id: str
    user_id: int
    amount_minor: int
    currency: str
    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Transaction:
    """A row of the bank's ledger; its key is the checkout's id."""

    key: str
    user_id: int
    amount_minor: int
    currency: str
    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Reservation:
    """A row of `reservation` with the sums of its lines. `at` is when its state last changed."""

    checkout_id: str
    state: str
    lines: tuple[tuple[int, int], ...]
    at: datetime

    @property
    def holds(self) -> bool:
        """Whether it holds stock that is not sold."""
        return self.state in {"HELD", "PINNED"}


@dataclass(frozen=True, slots=True)
class Order:
    """A row of `orders`."""

    id: str
    checkout_id: str
    user_id: int
    total_minor: int
    currency: str
    lines: tuple[Line, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the outbox. `sent_at` and `dead_at` are None until it is marked as published, or given up."""

    event_id: str
    checkout_id: str
    user_id: int
    order_id: str
    total_minor: int
    created_at: datetime
    sent_at: datetime | None
    dead_at: datetime | None


@dataclass(frozen=True, slots=True)
class CartLine:
    """A line of a cart. `bought` are the checkouts that bought a part of it and left the rest."""

    line_id: str
    product_id: int
    quantity: int
    bought: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart, as its document or its cached copy. Version 0: there is no document."""

    user_id: int
    version: int
    lines: tuple[CartLine, ...] = ()


@dataclass(frozen=True, slots=True)
class CachedCart:
    """A cart in the cache. `is_trusted`: readers may still be shown it (services/cart/cache.py, FRESH_MS)."""

    cart: Cart
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class Stock:
    """The stock of a product, and what other rows say that it must be, all of one snapshot."""

    product_id: int
    received: int
    available: int
    reserved: int
    sold: int
    lines_held: int
    """The sum over the lines of reservations that are held or pinned."""
    lines_sold: int
    """The sum over the lines of reservations that are confirmed."""
    delivered: int
    """The sum over the deliveries."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A Checkout resource: what it asks for, and what its status shows."""

    name: str
    """`namespace/name`."""
    uid: str
    user_id: int
    key: str
    """Under which it buys, as a user's key; of no use to a mirror."""
    mirror_of: str
    """The id of the checkout that a mirror is made for; empty for a resource that somebody applied."""
    checkout_id: str
    """What the status names; empty where it names none."""
    version: int
    phase: str

    @property
    def is_mirror(self) -> bool:
        """Whether the operator made it, to show a checkout of REST."""
        return bool(self.mirror_of)


@dataclass(frozen=True, slots=True)
class Started:
    """A checkout that a resource started, and the uid of that resource. Others of the same key show it too."""

    checkout: Checkout
    uid: str


@dataclass(frozen=True, slots=True)
class Dossier:
    """What every book holds of one checkout. None: the book was read and has no such row.

    `read` says which books were read: what is not among them is not compared.
    """

    checkout_id: str
    read: frozenset[Book]
    checkout: Checkout | None = None
    payment: Payment | None = None
    transaction: Transaction | None = None
    reservation: Reservation | None = None
    order: Order | None = None
    events: tuple[Event, ...] = ()
    cart: Cart | None = None
    """The cart of its user."""
    missing_events: frozenset[str] = field(default_factory=frozenset)
    """The ids of its events that are marked as published, and that the topic does not have."""
