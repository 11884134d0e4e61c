"""Bounds the requests that are under way, so that more than can be answered in time are refused at once and not late.

Checkouts have a reserve: whoever asks how a purchase went, or repeats one, is answered while others are refused.
"""

import time
from types import TracebackType
from typing import Self

from aiohttp import web

from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.error_codes import ErrorCode
from services.errors import Unavailable

RESERVE = 8
"""One in so many places is for checkouts alone."""
LOG_SECONDS = 1.0
"""Refusals are logged together, at most once in this time: an overloaded process has no time for a line each."""


class Overloaded(Unavailable):
    """Too many requests are under way; nothing was done for this one."""

    default_code = ErrorCode.OVERLOADED


class Admission:
    """Counts the requests under way against the bound."""

    def __init__(self, most: int, log: Logger, metrics: Metrics) -> None:
        """Take how many requests may be under way at once."""
        self._most = most
        self._most_others = most - most // RESERVE
        self._under_way = 0
        self._log = log
        self._not_logged = 0
        self._logged_at = float("-inf")
        self._gauge = metrics.gauge("cartwright_requests_under_way", "Requests that are being answered.")
        self._gauge.set_function(lambda: self._under_way)
        self._refused = metrics.counter(
            "cartwright_requests_shed_total", "Requests refused because too many were under way.", ("kind",)
        )
        self._refused_checkouts = self._refused.labels("checkout")
        self._refused_others = self._refused.labels("other")

    def enter(self, *, checkout: bool) -> None:
        """Count a request that begins. Raises Overloaded if there is no place for it."""
        if self._under_way >= (self._most if checkout else self._most_others):
            (self._refused_checkouts if checkout else self._refused_others).inc()
            self._log_refusals()
            raise Overloaded("too many requests are under way; try again")
        self._under_way += 1

    def leave(self) -> None:
        """Count a request that ends."""
        self._under_way -= 1

    def _log_refusals(self) -> None:
        self._not_logged += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_SECONDS:
            self._log.warning("too many requests are under way", refused=self._not_logged, under_way=self._under_way)
            self._logged_at, self._not_logged = now, 0


class Place:
    """The place of one request, which it leaves while it waits for its client to send the body."""

    __slots__ = ("_admission", "_checkout", "_held")

    def __init__(self, admission: Admission, *, checkout: bool) -> None:
        self._admission = admission
        self._checkout = checkout
        self._held = False

    def __enter__(self) -> Self:
        """Enter. Raises Overloaded if there is no place."""
        self.enter()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.leave()

    def enter(self) -> None:
        """Take the place. Raises Overloaded if there is none."""
        self._admission.enter(checkout=self._checkout)
        self._held = True

    def leave(self) -> None:
        """Leave the place, if it is taken: a slow client does not use up what others need."""
        if self._held:
            self._held = False
            self._admission.leave()


PLACE = web.RequestKey("place", Place)
