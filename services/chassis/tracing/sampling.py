"""Which traces are exported from their first span on (head sampling), and how many may be kept late."""

import time
from collections.abc import Callable

_SPACE = 1 << 64


class RatioSampler:
    """Samples a share of all traces by their ids, as OpenTelemetry's TraceIdRatioBased does."""

    def __init__(self, ratio: float) -> None:
        """Take the share, from 0 to 1."""
        bound = round(ratio * _SPACE)
        self._all = bound >= _SPACE
        self._below = f"{bound:016x}"

    def __call__(self, traceparent: str) -> bool:
        """Return whether the trace of a traceparent is sampled: whether the second half of its id is below the ratio."""
        return self._all or traceparent[19:35] < self._below


class Allowance:
    """So many a second, and no more than one second's worth at once."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._left = per_second
        self._at = clock()

    def spend(self) -> bool:
        """Spend one. Returns False when none is left."""
        now = self._clock()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
