"""What a part of the platform answered. A page shows what it has, and says which part did not answer."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

V = TypeVar("V")


class AnswerState(StrEnum):
    """How a part answered."""

    FOUND = "found"
    NONE = "none"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Answer(Generic[V]):
    """What `part` answered; `value` is there with FOUND alone."""

    part: str
    state: AnswerState
    value: V | None = None

    @property
    def is_away(self) -> bool:
        """Whether the part did not answer."""
        return self.state is AnswerState.AWAY
