"""What a shopper asks of checkout, and how a request to start one is answered."""

from dataclasses import dataclass

from services.checkout.domain import Session


@dataclass(frozen=True, slots=True)
class CartRequest:
    """A request to buy the user's cart; its answer is due within `wait` seconds.

    `patience`: how many seconds it may hold up those that came with it. None: as long as it waits.
    """

    user_id: int
    key: str
    wait: float
    patience: float | None = None


class Answer:
    """What a request to start a checkout is answered with, unless it is refused."""


@dataclass(frozen=True, slots=True)
class Started(Answer):
    """A checkout; `replayed` when it had ended before this request came."""

    session: Session
    replayed: bool


@dataclass(frozen=True, slots=True)
class Pending(Answer):
    """A request whose patience was over before it was claimed or refused. The same request joins it."""
