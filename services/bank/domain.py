"""Charges, their outcomes, and the behaviours that the simulated bank can be set to."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from services.errors import Invalid, NotFound


class State(StrEnum):
    """How a transaction ended."""

    CAPTURED = "CAPTURED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class Behaviour(StrEnum):
    """What the bank is set to do with a charge."""

    APPROVE = "APPROVE"
    DECLINE = "DECLINE"
    HANG = "HANG"
    CHARGE_AND_DROP = "CHARGE_AND_DROP"


class UnknownKey(NotFound):
    """No charge of this key has arrived yet."""

    def __init__(self) -> None:
        super().__init__("no charge of this key has arrived")


class OtherCharge(Invalid):
    """The key belongs to a charge of another amount, currency or user."""

    def __init__(self) -> None:
        super().__init__("this key belongs to another charge")


@dataclass(frozen=True, slots=True)
class Charge:
    """A request to charge; the amount is in minor units."""

    key: str
    user_id: int
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """A charge as it stands in the ledger."""

    key: str
    state: State
    user_id: int
    amount_minor: int
    currency: str
    reference: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a charge: its transaction, or None where the bank hangs; and the behaviour that was used up for it."""

    transaction: Transaction | None
    behaviour: Behaviour | None


@dataclass(frozen=True, slots=True)
class Scope:
    """The charges that a behaviour applies to; `name` is its key in the store."""

    name: str

    @classmethod
    def checkout(cls, checkout_id: str) -> Self:
        """Return the scope of one checkout's charge."""
        return cls(f"checkout:{checkout_id}")

    @classmethod
    def user(cls, user_id: int) -> Self:
        """Return the scope of one user's charges."""
        return cls(f"user:{user_id}")

    @classmethod
    def everybody(cls) -> Self:
        """Return the scope of all charges."""
        return cls("all")


def scopes_of(charge: Charge) -> tuple[Scope, ...]:
    """Return the scopes that a charge is in, the narrowest first."""
    return Scope.checkout(charge.key), Scope.user(charge.user_id), Scope.everybody()


def draw_outcome(seed: str, key: str, success_rate: float) -> State:
    """Return the outcome of a key: the same one for as long as the seed and the rate stay."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return State.CAPTURED if int.from_bytes(digest[:8]) / 2**64 < success_rate else State.DECLINED


def checked(charge: Charge) -> Charge:
    """Return the charge; Invalid when it is malformed."""
    if not 1 <= len(charge.key) <= 255 or not charge.key.isprintable():  # noqa: PLR2004 - as every id
        raise Invalid("key must be 1 to 255 printable characters")
    if charge.amount_minor < 1 or len(charge.currency) != 3 or charge.user_id < 1:  # noqa: PLR2004 - ISO 4217
        raise Invalid("amount_minor and user_id must be positive, currency a code of three letters")
    return charge
