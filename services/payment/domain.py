"""A payment and its states."""

from dataclasses import dataclass
from enum import StrEnum

from services.errors import Invalid


class State(StrEnum):
    """INTENT is undecided; the others are final."""

    INTENT = "INTENT"
    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class OtherPayment(Invalid):
    """The checkout has a payment of another amount, currency or user."""

    def __init__(self) -> None:
        super().__init__("this checkout has another payment")


@dataclass(frozen=True, slots=True)
class Wish:
    """A payment that is asked for; the amount is in minor units."""

    checkout_id: str
    user_id: int
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it is kept."""

    checkout_id: str
    user_id: int
    amount_minor: int
    currency: str
    state: State
    provider_ref: str = ""

    def is_for(self, wish: Wish) -> bool:
        """Whether it is the payment that `wish` asks for; a tombstone is for any."""
        mine = (self.user_id, self.amount_minor, self.currency)
        return self.amount_minor == 0 or mine == (wish.user_id, wish.amount_minor, wish.currency)


def checked(wish: Wish) -> Wish:
    """Give the wish, or raise Invalid."""
    checked_id(wish.checkout_id)
    if wish.user_id < 1 or wish.amount_minor < 1 or len(wish.currency) != 3:  # noqa: PLR2004 - ISO 4217
        raise Invalid("user_id and amount_minor must be positive, currency a code of three letters")
    return wish


def checked_id(text: str) -> str:
    """Give the checkout's id, or raise Invalid."""
    if not 1 <= len(text) <= 255 or not text.isprintable():  # noqa: PLR2004 - as every id
        raise Invalid("checkout_id must be 1 to 255 printable characters")
    return text
