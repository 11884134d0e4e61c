"""A checkout: its states, what it buys, and what can be wrong with starting one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

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
    """What the shopper is told."""

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


class Origin(StrEnum):
    """Where a checkout came from; keys of different origins never meet."""

    REST = "rest"
    RESOURCE = "resource"


class Reservation(StrEnum):
    """What inventory says of a checkout's stock; REFUSED stands for a state that does not allow what was asked."""

    HELD = "HELD"
    PINNED = "PINNED"
    CONFIRMED = "CONFIRMED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    INSUFFICIENT = "INSUFFICIENT"
    REFUSED = "REFUSED"


class Payment(StrEnum):
    """What payment says of a checkout's charge; INTENT is undecided."""

    INTENT = "INTENT"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class KeyRequired(Invalid):
    """A checkout was asked for without saying which intention it belongs to."""

    def __init__(self) -> None:
        super().__init__("idempotency_key is required")


class BadKey(Invalid):
    """The idempotency key is not one."""

    def __init__(self) -> None:
        super().__init__("idempotency_key must be 1 to 255 characters, not blank, without control characters")


class EmptyCart(Invalid):
    """There is nothing to buy."""

    def __init__(self) -> None:
        super().__init__("cart is empty")


class KeyReused(Conflict):
    """The key belongs to a checkout of something else."""

    def __init__(self) -> None:
        super().__init__("the idempotency key was used for other items")


class BadItems(Invalid):
    """What is wanted cannot be bought as it is written."""


class CartBusy(Transient):
    """Another checkout of the same cart is running; this one waits its turn."""


class UnknownCheckout(NotFound):
    """No checkout of this user has this id."""

    def __init__(self) -> None:
        super().__init__("checkout not found")


class AnotherRunning(Conflict):
    """Another checkout of the same cart is running."""

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
    """Somebody else drives this saga now."""

    def __init__(self, checkout_id: str) -> None:
        super().__init__(f"checkout {checkout_id} is driven by another process")


MAX_KEY = 255
MAX_IDS_SHOWN = 15  # fits the 500 characters that a resource's message has for it


def checked_key(key: str) -> str:
    """Give the key, or raise KeyRequired or BadKey."""
    if not key:
        raise KeyRequired
    if len(key) > MAX_KEY or not key.strip() or not key.isprintable():
        raise BadKey
    return key


@dataclass(frozen=True, slots=True)
class Line:
    """What is bought, at the price read at the claim, in minor units; `line_id` is empty where no cart is involved."""

    line_id: str
    product_id: int
    name: str
    unit_price_minor: int
    quantity: int


MAX_ITEMS = 100
MAX_QUANTITY = 99  # of an item that a resource asks for; a line of a cart may hold more


@dataclass(frozen=True, slots=True)
class Resource:
    """The resource that a checkout came from."""

    uid: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a resource asks for: (product id, quantity); without items the user's cart is meant."""

    user_id: int
    key: str
    items: tuple[tuple[int, int], ...] = ()
    resource: Resource = Resource()
    timeout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no checkout can be made of; BadItems says why."""
        products = [product_id for product_id, _ in self.items]
        if len(products) > MAX_ITEMS or len(set(products)) < len(products) or any(one < 1 for one in products):
            raise BadItems(f"items must be at most {MAX_ITEMS} different products")
        if any(not 1 <= quantity <= MAX_QUANTITY for _, quantity in self.items):
            raise BadItems(f"quantity must be between 1 and {MAX_QUANTITY}")

    @property
    def source(self) -> str:
        """Where the lines come from."""
        return "items" if self.items else "cart"

    @property
    def intention(self) -> str:
        """What must be the same when the key comes again."""
        return repr(sorted(self.items)) if self.items else "cart"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """How one step of the saga went, for people."""

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


@dataclass(frozen=True, slots=True)
class Session:
    """A checkout as its row has it. `lease_epoch` fences its drivers; `cancel` says why it should not go on."""

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
    source: str = "cart"
    finished_at: datetime | None = None
    reason: Reason | None = None
    cancel: Reason | None = None
    steps: tuple[StepRecord, ...] = ()
    attempts: int = 0
    response_body: bytes = field(default=b"", repr=False)
    request_id: str = ""
    traceparent: str = ""
    resource: Resource = Resource()
    last_error: str = ""
    """What its last attempt met, or what made it fail, for people."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A cart that is about to be bought: the user's key, and what the cart held at `cart_version`."""

    user_id: int
    key: str
    lines: tuple[Line, ...]
    currency: str
    cart_version: int
    bought: tuple[str, ...]
    """Checkouts whose lines were gone from the cart at `cart_version`."""

    @property
    def total_minor(self) -> int:
        """The sum of the lines, in minor units."""
        return sum(line.unit_price_minor * line.quantity for line in self.lines)
