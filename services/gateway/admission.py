"""Bounds the requests that are under way, so that more than can be answered in time are refused at once and not late.

Checkouts have a reserve: whoever asks how a purchase went, or repeats one, is answered while others are refused. Cart writes
are new work, which leads to a purchase: they are refused first, while the purchases under way take longer than they should.
"""

import enum
import time
from types import TracebackType
from typing import Self

from aiohttp import web

from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.error_codes import ErrorCode
from services.errors import Unavailable
from services.gateway.purchases import Purchases

RESERVE = 8
"""One in so many places is for checkouts alone."""
ALWAYS = 4
"""One in so many places may be a purchase, however long purchases take."""
LOG_SECONDS = 1.0
"""Refusals are logged together, at most once in this time: an overloaded process has no time for a line each."""


class Overloaded(Unavailable):
    """Too many requests are under way; nothing was done for this one."""

    default_code = ErrorCode.OVERLOADED


class Kind(enum.Enum):
    """What a request is for. The value is the metric's label."""

    PURCHASE = "purchase"
    CHECKOUT = "checkout"
    """Asks how a purchase went."""
    CART_WRITE = "cart_write"
    OTHER = "other"


_WITH_RESERVE = frozenset({Kind.PURCHASE, Kind.CHECKOUT})


class Admission:
    """Counts the requests under way against the bounds."""

    def __init__(self, most: int, log: Logger, metrics: Metrics) -> None:
        """Take how many requests may be under way at once."""
        self._most = most
        self._most_others = most - most // RESERVE
        self._under_way = 0
        self._cart_writes = 0
        self._purchases = Purchases(most // ALWAYS, time.monotonic)
        self._log = log
        self._not_logged = 0
        self._logged_at = float("-inf")
        self._gauge = metrics.gauge("cartwright_requests_under_way", "Requests that are being answered.")
        self._gauge.set_function(lambda: self._under_way)
        refused = metrics.counter(
            "cartwright_requests_shed_total", "Requests refused because too many were under way.", ("kind",)
        )
        self._refused = {kind: refused.labels(kind.value) for kind in Kind}

    def enter(self, kind: Kind) -> None:
        """Count a request that begins. Raises Overloaded if there is no place for it."""
        if self._is_too_much(kind):
            self._refused[kind].inc()
            self._log_refusals()
            raise Overloaded("too many requests are under way; try again")
        self._under_way += 1
        if kind is Kind.PURCHASE:
            self._purchases.begin()
        elif kind is Kind.CART_WRITE:
            self._cart_writes += 1

    def leave(self, kind: Kind, *, answered: bool) -> None:
        """Count a request that ends, or that waits for its client."""
        self._under_way -= 1
        if kind is Kind.PURCHASE:
            (self._purchases.end if answered else self._purchases.leave)()
        elif kind is Kind.CART_WRITE:
            self._cart_writes -= 1

    def _is_too_much(self, kind: Kind) -> bool:
        if kind is Kind.CART_WRITE and self._purchases.are_enough(self._cart_writes):
            return True
        return self._under_way >= (self._most if kind in _WITH_RESERVE else self._most_others)

    def _log_refusals(self) -> None:
        self._not_logged += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_SECONDS:
            self._log.warning(
                "too many requests are under way",
                refused=self._not_logged,
                under_way=self._under_way,
                purchases=self._purchases.under_way,
            )
            self._logged_at, self._not_logged = now, 0


class Place:
    """The place of one request, which it leaves while it waits for its client to send the body."""

    __slots__ = ("_admission", "_held", "_kind")

    def __init__(self, admission: Admission, kind: Kind) -> None:
        self._admission = admission
        self._kind = kind
        self._held = False

    def __enter__(self) -> Self:
        """Enter. Raises Overloaded if there is no place."""
        self.enter()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._leave(answered=True)

    def enter(self) -> None:
        """Take the place. Raises Overloaded if there is none."""
        self._admission.enter(self._kind)
        self._held = True

    def leave(self) -> None:
        """Leave the place, if it is taken: a slow client does not use up what others need."""
        self._leave(answered=False)

    def _leave(self, *, answered: bool) -> None:
        if self._held:
            self._held = False
            self._admission.leave(self._kind, answered=answered)


PLACE = web.RequestKey("place", Place)
