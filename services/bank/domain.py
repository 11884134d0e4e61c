"""What a bank knows of a charge, and how it can be told to behave."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from services.errors import Invalid, NotFound


class State(StrEnum):
    """How a transaction ended."""

    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class Behaviour(StrEnum):
    """What the bank is told to do with a charge."""

    APPROVE = "APPROVE"
    DECLINE = "DECLINE"
    HANG = "HANG"
    CHARGE_AND_DROP = "CHARGE_AND_DROP"


class UnknownKey(NotFound):
    """No charge of this key has arrived, yet."""

    def __init__(self) -> None:
        super().__init__("no charge of this key has arrived")


class OtherCharge(Invalid):
    """The key belongs to a charge of another amount, currency or user."""

    def __init__(self) -> None:
        super().__init__("this key belongs to another charge")


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge that is asked for; the amount is in minor units."""

    key: str
    user_id: int
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """A charge as the ledger has it."""

    key: str
    state: State
    user_id: int
    amount_minor: int
    currency: str
    reference: str


@dataclass(frozen=True, slots=True)
class Whom:
    """Whose charges are meant: a checkout's, a user's, or everybody's where both are empty."""

    checkout_id: str = ""
    user_id: int = 0

    @property
    def scope(self) -> str:
        """The name it is kept under."""
        return f"checkout:{self.checkout_id}" if self.checkout_id else f"user:{self.user_id}" if self.user_id else "all"


def drawn(seed: str, key: str, success_rate: float) -> State:
    """Draw the outcome of a key: the same one for as long as seed and rate stay, whoever asks."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return State.CAPTURED if int.from_bytes(digest[:8]) / 2**64 < success_rate else State.DECLINED


def checked(charge: Charge) -> Charge:
    """Give the charge, or raise Invalid."""
    if not 1 <= len(charge.key) <= 255 or not charge.key.isprintable():  # noqa: PLR2004 - as every id
        raise Invalid("key must be 1 to 255 printable characters")
    if charge.amount_minor < 1 or len(charge.currency) != 3 or charge.user_id < 1:  # noqa: PLR2004 - ISO 4217
        raise Invalid("amount_minor and user_id must be positive, currency a code of three letters")
    return charge
