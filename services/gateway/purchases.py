"""The purchases under way, and whether more of them are than end while a shopper waits.

How long a purchase takes is how many are under way by how many end in a second. A bound on their number alone holds back
nobody where few end, and all of them then end late, together. So the bound is what ends within SECONDS.
"""

import math
from collections.abc import Callable

SECONDS = 2.0
"""How long a purchase may take under overload."""
SMOOTH_SECONDS = 2.0
"""How long an end counts in the rate, on average: a lull or a burst of less moves the bound by a part of it."""


class Purchases:
    """Counts the purchases under way, and how many end in a second."""

    def __init__(self, always: int, clock: Callable[[], float]) -> None:
        """Take how many may be under way however few end, and a clock in seconds that never goes back."""
        self._always = always
        self._clock = clock
        self._under_way = 0
        self._rate = 0.0
        """How many ended in a second, as it was at `_at`."""
        self._at = clock()

    @property
    def under_way(self) -> int:
        """How many have begun and not left."""
        return self._under_way

    def begin(self) -> None:
        """Count one that begins."""
        self._under_way += 1

    def leave(self) -> None:
        """Count one that waits for its client, or was not begun for good: it says nothing of how long purchases take."""
        self._under_way -= 1

    def end(self) -> None:
        """Count one that is answered."""
        self._under_way -= 1
        self._rate = self._rate_at(now := self._clock()) + 1 / SMOOTH_SECONDS
        self._at = now

    def are_enough(self) -> bool:
        """Return whether those under way take all the time that a purchase may take, so that no more should be prepared."""
        if self._under_way < self._always:
            return False
        return self._under_way >= SECONDS * self._rate_at(self._clock())

    def _rate_at(self, now: float) -> float:
        return self._rate * math.exp((self._at - now) / SMOOTH_SECONDS)
