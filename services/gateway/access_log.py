"""The log line of a request. Under load one in so many reads is logged, since a line costs more than a read does."""

import time
from collections.abc import Callable

from services.chassis.logs import Logger

SLOW_SECONDS = 1.0
"""A request that took longer is always logged."""
ALL_READS = 10
"""So many reads a second are logged one by one. Past it, in the same second, they are sampled."""
_FAILED = 400
READS = frozenset({"GET", "HEAD"})
"""The methods that change nothing."""


class AccessLog:
    """Logs every write, failure and slow request, ALL_READS other reads a second, and beyond those one in `sample_reads`."""

    def __init__(self, log: Logger, sample_reads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._sample_reads = sample_reads
        self._clock = clock
        self._second = -1
        self._reads = 0
        """How many reads ended in this second."""
        self._sampled = 0
        """How many reads were sampled so far."""

    def write(self, method: str, route: str, user_id: int | None, status: int, seconds: float) -> None:
        """Log a request, or leave it out. A line that stands for others has `one_in`."""
        more = {}
        if method in READS and status < _FAILED and seconds <= SLOW_SECONDS and self._is_busy():
            self._sampled += 1
            if (self._sampled - 1) % self._sample_reads:
                return
            if self._sample_reads > 1:
                more["one_in"] = self._sample_reads
        self._log.info(
            "http", method=method, route=route, user_id=user_id, status=status, ms=round(seconds * 1000, 2), **more
        )

    def _is_busy(self) -> bool:
        """Count a read, and return whether there were more than ALL_READS in this second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._reads = second, 0
        self._reads += 1
        return self._reads > ALL_READS
