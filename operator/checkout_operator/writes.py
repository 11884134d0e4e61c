"""Makes the writes to the API server: each is counted, timed for the pace of mirrors, and logged where it fails."""

import math
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from checkout_operator import tracing
from checkout_operator.cluster import ClusterUnavailable, NamespaceGone, Refused
from checkout_operator.mirrors import WriteBudget
from checkout_operator.telemetry import Metrics

T = TypeVar("T")


class NotAnswered(Exception):
    """The API server did not make a write, and may make it soon."""


class Writes:
    """Makes writes of every kind."""

    def __init__(self, budget: WriteBudget, metrics: Metrics, log: structlog.stdlib.BoundLogger) -> None:
        """Take the budget of mirrors, which follows how long the writes take."""
        self._budget = budget
        self._metrics = metrics
        self._log = log
        self._show_rate()

    async def attempt(self, verb: str, call: Coroutine[Any, Any, T]) -> T | None:
        """Make a write. Returns None when it failed; the next comparison finds that."""
        try:
            return await self.make(verb, call)
        except NotAnswered:
            return None

    async def make(self, verb: str, call: Coroutine[Any, Any, T]) -> T | None:
        """Make a write. Returns None where it would fail again: it is invalid, or its namespace is gone. Else raises NotAnswered."""
        began = time.monotonic()
        took = math.inf  # a write that was not answered is as slow as can be, however soon that was known
        try:
            with tracing.span(f"{verb} Checkout"):
                done = await call
            took = time.monotonic() - began
        except (ClusterUnavailable, Refused) as error:
            if isinstance(error, Refused):  # that is an answer
                took = time.monotonic() - began
            self._metrics.writes.labels(verb, type(error).__name__).inc()
            self._log.warning("a write failed", verb=verb, error=str(error)[:300])
            if isinstance(error, (Refused, NamespaceGone)):
                return None
            raise NotAnswered from error
        finally:
            self._budget.wrote(took)
            self._show_rate()
        self._metrics.writes.labels(verb, "ok").inc()
        return done

    def _show_rate(self) -> None:
        self._metrics.mirror_rate.set(self._budget.rate)
        self._metrics.mirror_rate_wanted.set(self._budget.wanted)
