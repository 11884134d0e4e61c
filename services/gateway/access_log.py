"""The log line of a request. Of reads that went well one in so many is logged, since a line costs more than the read."""

from services.chassis.logs import Logger

SLOW_SECONDS = 1.0
"""A request that took longer is always logged."""
_FAILED = 400
READS = frozenset({"GET", "HEAD"})
"""The methods that change nothing."""


class AccessLog:
    """Logs every write, every failure and every slow request, and one in `sample_reads` of the other reads."""

    def __init__(self, log: Logger, sample_reads: int) -> None:
        self._log = log
        self._sample_reads = sample_reads
        self._reads = 0

    def write(self, method: str, route: str, user: int | None, status: int, seconds: float) -> None:
        """Log a request, or leave it out. A line that stands for others has `one_in`."""
        sampled = method in READS and status < _FAILED and seconds <= SLOW_SECONDS
        if sampled:
            self._reads += 1
            if (self._reads - 1) % self._sample_reads:
                return
        more = {"one_in": self._sample_reads} if sampled and self._sample_reads > 1 else {}
        self._log.info(
            "http", method=method, route=route, user=user, status=status, ms=round(seconds * 1000, 2), **more
        )
