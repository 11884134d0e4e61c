"""A checkout: its states, what it buys, and what can be wrong with starting one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.error_codes import ErrorCode
from services.errors import Conflict, Invalid, NotFound, Transient


class Step(StrEnum):
    """Where the saga stands, as stored."""

    ACCEPTED = "ACCEPTED"
    CLAIMED = "CLAIMED"
    RESERVED = "RESERVED"
    PAYING = "PAYING"
    PAID = "PAID"
    CANCELLING = "CANCELLING"
    RELEASING = "RELEASING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Status(StrEnum):
    """What the answer to the shopper says."""

    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Reason(StrEnum):
    """Why a checkout failed."""

    EMPTY_CART = "EmptyCart"
    UNKNOWN_PRODUCT = "UnknownProduct"
    OUT_OF_STOCK = "OutOfStock"
    PAYMENT_DECLINED = "PaymentDeclined"
    RESERVATION_EXPIRED = "ReservationExpired"
    CANCELLED = "Cancelled"
    TIMED_OUT = "TimedOut"
    IDEMPOTENCY_KEY_REUSED = "IdempotencyKeyReused"


class Source(StrEnum):
    """Where the lines of a checkout come from: the user's cart, or the items of a resource."""

    CART = "cart"
    ITEMS = "items"


class Origin(StrEnum):
    """Where a checkout came from; keys of different origins never meet."""

    REST = "rest"
    RESOURCE = "resource"


class Reservation(StrEnum):
    """The state of a checkout's reservation in inventory; REFUSED: its state does not allow the call."""

    HELD = "HELD"
    PINNED = "PINNED"
    CONFIRMED = "CONFIRMED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    INSUFFICIENT = "INSUFFICIENT"
    REFUSED = "REFUSED"


class Payment(StrEnum):
    """The state of a checkout's payment; INTENT is undecided."""

    INTENT = "INTENT"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class EmptyCart(Invalid):
    """The cart has no lines."""

    default_code = ErrorCode.CART_EMPTY

    def __init__(self) -> None:
        super().__init__("cart is empty")


class KeyReused(Conflict):
    """The key belongs to a checkout of other items."""

    def __init__(self) -> None:
        super().__init__("the idempotency key was used for other items")


class BadItems(Invalid):
    """The items of a request are malformed: the message says what is wrong."""


class CartBusy(Transient):
    """Another checkout of the same cart is running; this one waits its turn."""


class UnknownCheckout(NotFound):
    """No checkout of this user has this id."""

    default_code = ErrorCode.CHECKOUT_NOT_FOUND

    def __init__(self) -> None:
        super().__init__("checkout not found")


class KeyClaimed(Conflict):
    """The key has a checkout by now: a rival request with the same key has made it."""

    def __init__(self) -> None:
        super().__init__("the key has a checkout already")


class AnotherRunning(Conflict):
    """Another checkout of the same cart is running."""

    default_code = ErrorCode.CHECKOUT_RUNNING

    def __init__(self, checkout_id: str) -> None:
        super().__init__("another checkout of this cart is running")
        self.checkout_id = checkout_id


@dataclass(frozen=True, slots=True)
class MissingProduct:
    """A product that is not in the catalogue; `name` is the one that the cart kept, None where none is known."""

    product_id: int
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.name} (product {self.product_id})" if self.name else f"product {self.product_id}"


class UnknownProducts(Conflict):
    """Products that are to be bought are not in the catalogue."""

    default_code = ErrorCode.PRODUCTS_UNAVAILABLE

    def __init__(self, products: Sequence[MissingProduct]) -> None:
        super().__init__(f"not in the catalogue: {', '.join(map(str, products))}")
        self.products = tuple(products)

    @property
    def ids(self) -> str:
        """The products' ids for a status, which has room for MAX_IDS_SHOWN of them and the number of the others."""
        shown = [f"product {one.product_id}" for one in self.products[:MAX_IDS_SHOWN]]
        more = len(self.products) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")


class LostLease(Conflict):
    """Another process drives this saga now."""

    def __init__(self, checkout_id: str) -> None:
        super().__init__(f"checkout {checkout_id} is driven by another process")


MAX_IDS_SHOWN = 15  # fits the 500 characters that a resource's message has for it


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is bought, at the price of its claim in minor units.

    `line_id` is the line of the cart. None: it is an item of a resource.
    """

    line_id: str | None
    product_id: int
    name: str
    unit_price_minor: int
    quantity: int


MAX_ITEMS = 100
MAX_QUANTITY = 99  # of an item that a resource asks for; a line of a cart may hold more


@dataclass(frozen=True, slots=True)
class Resource:
    """The resource that a checkout came from."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """A request of a resource: items of (product id, quantity), or the user's cart when there are none.

    `timeout` is how many seconds the checkout may stay unfinished. None: the service's own setting.
    """

    user_id: int
    key: str
    items: tuple[tuple[int, int], ...] = ()
    resource: Resource | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Raise BadItems when no checkout can be made of the items."""
        products = [product_id for product_id, _ in self.items]
        if len(products) > MAX_ITEMS or len(set(products)) < len(products) or any(one < 1 for one in products):
            raise BadItems(f"items must be at most {MAX_ITEMS} different products")
        if any(not 1 <= quantity <= MAX_QUANTITY for _, quantity in self.items):
            raise BadItems(f"quantity must be between 1 and {MAX_QUANTITY}")

    @property
    def source(self) -> Source:
        """Where the lines come from."""
        return Source.ITEMS if self.items else Source.CART

    @property
    def intention(self) -> str:
        """What must be equal when the key is used again: its hash is stored as the row's fingerprint."""
        return repr(sorted(self.items)) if self.items else "cart"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """How one step of the saga went; the REST API and the resource show it."""

    name: str
    state: str
    attempts: int
    started_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """Lines of a cart that a completed checkout bought: (line id, quantity)."""

    checkout_id: str
    lines: tuple[tuple[str, int], ...]


def cart_purchase(checkout_id: str, lines: Sequence[Line]) -> Purchase:
    """Return what a checkout with these lines has bought of the cart."""
    return Purchase(checkout_id, tuple((one.line_id, one.quantity) for one in lines if one.line_id is not None))


@dataclass(frozen=True, slots=True)
class Session:
    """A checkout as its row has it. `lease_epoch` fences its drivers; `cancel` is why it should stop, if it should."""

    id: str
    user_id: int
    origin: Origin
    key: str
    status: Status
    step: Step
    lines: tuple[Line, ...]
    total_minor: int
    currency: str
    order_id: str
    lease_epoch: int
    version: int
    created_at: datetime
    source: Source = Source.CART
    finished_at: datetime | None = None
    reason: Reason | None = None
    cancel: Reason | None = None
    steps: tuple[StepRecord, ...] = ()
    attempts: int = 0
    response_body: bytes = field(default=b"", repr=False)
    request_id: str = ""
    traceparent: str = ""
    resource: Resource | None = None
    """None for a checkout of REST."""
    last_error: str | None = None
    """What its last attempt met, or what made it fail, for people."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a checkout is about to buy, at the prices of now."""

    user_id: int
    key: str
    lines: tuple[Line, ...]
    currency: str
    cart_version: int | None = None
    """The version of the cart's document that had these lines; None for the items of a resource."""
    bought: tuple[str, ...] = ()
    """Checkouts whose lines are known to be gone from the cart at `cart_version`."""

    @property
    def total_minor(self) -> int:
        """The sum of the lines, in minor units."""
        return sum(line.unit_price_minor * line.quantity for line in self.lines)


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is known of a REST key before it is claimed."""

    session: Session | None
    """The key's checkout; None where it has none."""
    uncleared: tuple[Purchase, ...] = ()
    """The user's purchases of the cart that are not known to be gone from it."""
