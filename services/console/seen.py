"""What a part of the platform answered. A page shows what it has, and says which part did not answer."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

V = TypeVar("V")


class Answered(StrEnum):
    """How a part answered."""

    FOUND = "found"
    NONE = "none"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Seen(Generic[V]):
    """What `part` answered; `value` is there with FOUND alone."""

    part: str
    answered: Answered
    value: V | None = None

    @property
    def is_away(self) -> bool:
        """Whether the part did not answer."""
        return self.answered is Answered.AWAY
