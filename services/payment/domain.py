"""A payment and its states."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.errors import Invalid, NotFound


class State(StrEnum):
    """INTENT is undecided; CAPTURED, DECLINED and CANCELLED are final.

    ASKING is an answer only, and never stored: the provider has not answered within the time that the request may wait.
    """

    INTENT = "INTENT"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"
    ASKING = "ASKING"


class OtherPayment(Invalid):
    """The checkout already has a payment of another amount, currency or user."""

    def __init__(self) -> None:
        super().__init__("this checkout has another payment")


class UnknownPayment(NotFound):
    """The checkout has no payment."""

    def __init__(self) -> None:
        super().__init__("this checkout has no payment")


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """A request to charge the payment of a checkout; the amount is in minor units."""

    checkout_id: str
    user_id: int
    amount_minor: int
    currency: str
    wait: float | None = field(default=None, compare=False)
    """How many seconds its answer may take; None: until the provider has answered, or its time is over."""
    traceparent: str = field(default="", compare=False)
    """The span that asks; empty where no traces are recorded."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it is stored."""

    checkout_id: str
    user_id: int
    amount_minor: int
    currency: str
    state: State
    provider_ref: str | None = None
    """The provider's reference; None until it has decided."""

    def is_for(self, request: ChargeRequest) -> bool:
        """Whether it is the payment that `request` asks for; a tombstone answers every request of its checkout."""
        mine = (self.user_id, self.amount_minor, self.currency)
        return self.is_tombstone or mine == (request.user_id, request.amount_minor, request.currency)

    @property
    def is_tombstone(self) -> bool:
        """Whether the checkout was cancelled before it was charged: no charge has the amount 0."""
        return self.amount_minor == 0


@dataclass(frozen=True, slots=True)
class UndecidedPayment:
    """A payment without an outcome, and the traceparent of the request for it; empty where no traces were recorded."""

    payment: Payment
    traceparent: str


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """A payment, and how it came to its state; `decided_at` is None while it is undecided."""

    payment: Payment
    attempts: int
    created_at: datetime
    decided_at: datetime | None


def checked(request: ChargeRequest) -> ChargeRequest:
    """Return the request; Invalid when it is malformed."""
    checked_id(request.checkout_id)
    if request.user_id < 1 or request.amount_minor < 1 or len(request.currency) != 3:  # noqa: PLR2004 - ISO 4217
        raise Invalid("user_id and amount_minor must be positive, currency a code of three letters")
    return request


def checked_id(text: str) -> str:
    """Return the checkout's id; Invalid when it is malformed."""
    if not 1 <= len(text) <= 255 or not text.isprintable():  # noqa: PLR2004 - as every id
        raise Invalid("checkout_id must be 1 to 255 printable characters")
    return text
