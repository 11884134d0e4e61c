"""The purchases under way, and whether more of them are than end while a shopper waits.

How long a purchase takes is how many are under way by how many end in a second. A bound on their number alone holds back
nobody where few end, and all of them then end late, together. So the bound is what ends within SECONDS.
"""

import math
from collections.abc import Callable

SECONDS = 1.5
"""How long a purchase may take under overload: about three times what it takes with 64 at once on two cores. Fewer under way would
share less and so cost more; more would only wait longer."""
SETTLE_SECONDS = 0.5
"""How long nothing is known after the first purchase began. Those that end first are few, and would make all look slow. What is let in
meanwhile at three times what can be done ends within SECONDS; at more than that it takes longer."""
SMOOTH_SECONDS = 2.0
"""How long an end counts in the rate, on average: a lull or a burst of less moves the bound by a part of it."""


class Purchases:
    """Counts the purchases under way, and how many have ended a second since there were none."""

    def __init__(self, always: int, clock: Callable[[], float]) -> None:
        """Take how many may be under way however few end, and a clock in seconds that never goes back."""
        self._always = always
        self._clock = clock
        self._under_way = 0
        self._ended = 0.0
        """How many have ended, each counted for less the longer ago it was, as it was at `_at`."""
        self._at = self._since = clock()
        """`_since`: when the first of those under way began while there were none."""

    @property
    def under_way(self) -> int:
        """How many have begun and not left."""
        return self._under_way

    def begin(self) -> None:
        """Count one that begins."""
        if not self._under_way:  # what ended before was held up by nothing, and does not tell how many can end
            self._since, self._ended = self._clock(), 0.0
        self._under_way += 1

    def leave(self) -> None:
        """Count one that waits for its client, or was not begun for good: it says nothing of how long purchases take."""
        self._under_way -= 1

    def end(self) -> None:
        """Count one that is answered."""
        self._under_way -= 1
        now = self._clock()
        self._ended = self._ended * _weight(now - self._at) + 1
        self._at = now

    def are_enough(self, coming: int) -> bool:
        """Return whether those under way take all the time that a purchase may take, so that no more should be prepared.

        `coming`: how many carts are being filled, which may be bought next. They count beside as many purchases.
        """
        count = self._under_way + min(coming, self._under_way)
        now = self._clock()
        return count >= self._always and now - self._since >= SETTLE_SECONDS and count >= SECONDS * self._rate(now)

    def _rate(self, now: float) -> float:
        """Return how many end in a second."""
        counted_seconds = SMOOTH_SECONDS * (1 - _weight(now - self._since))
        return self._ended * _weight(now - self._at) / counted_seconds if counted_seconds else 0.0


def _weight(seconds: float) -> float:
    """Return for how much counts what was so long ago."""
    return math.exp(-seconds / SMOOTH_SECONDS)
