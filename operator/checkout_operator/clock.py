"""What time it is, by the API server: the clock of the machine that the operator runs on may be an hour off.

By this clock resources are deleted and mirrors are made. How old a checkout is comes from the checkout service's database.
"""

import time
from email.utils import parsedate_to_datetime

from checkout_operator.telemetry import Metrics

OBSERVE_SECONDS = 10.0
TOLERATED_SECONDS = 2.0
"""A difference that is not corrected: the header has whole seconds, and an answer takes its time."""


class ServerClock:
    """The API server's time, by the Date header of its answers; this machine's time until there is one."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._skew = 0.0
        self._observed_at = float("-inf")

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time() + self._skew

    def observe(self, date: str) -> None:
        """Take the Date header of an answer that has just come. What is no date changes nothing."""
        if time.monotonic() - self._observed_at < OBSERVE_SECONDS:
            return
        try:
            said = parsedate_to_datetime(date).timestamp() + 0.5  # it is somewhere within this second
        except ValueError:
            return
        self._observed_at = time.monotonic()
        skew = said - time.time()
        self._skew = skew if abs(skew) > TOLERATED_SECONDS else 0.0
        self._metrics.clock_skew.set(self._skew)
