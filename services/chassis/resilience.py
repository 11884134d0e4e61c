"""What stands between a caller and a part that fails: circuit breakers, and retries within a budget.

The figures are those of docs/operations.md: a breaker looks at 10 s and opens for 5 s; retries are at most a tenth of the
calls. Neither ever turns a failure into a refusal: an open breaker raises Unavailable.

Slowness alone opens no breaker. A busy dependency answers some calls and is late with others; refusing it all calls would
make the breakers of its callers, and of their callers, keep each other open. A dependency that is away answers nothing.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

from services.chassis.telemetry import Metrics
from services.errors import Transient, Unavailable

T = TypeVar("T")
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and how long it stays open; times in seconds."""

    window: float = 10.0
    min_calls: int = 20
    failure_ratio: float = 0.5
    silence: float = 2.0
    """It opens only where nothing has been answered for so long."""
    open_for: float = 5.0


class CircuitBreaker:
    """Refuses calls to a dependency that keeps failing, and lets one probe through after a while."""

    def __init__(
        self, name: str, metrics: Metrics, policy: BreakerPolicy | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._name = name
        self._policy = policy or BreakerPolicy()
        self._clock = clock
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._answered_at = float("-inf")
        self._opened_at: float | None = None
        self._probing = False
        self._gauge = metrics.breaker_open.labels(name)
        self._opened = metrics.breaker_opened.labels(name)
        self._gauge.set(0)

    @property
    def is_open(self) -> bool:
        """Whether calls are refused for now; the probe after the pause is not counted as a call that passes."""
        return self._opened_at is not None

    def admit(self) -> None:
        """Let a call pass, or raise Unavailable. Every call that passes must be followed by `record` or `abandon`."""
        if self._opened_at is None:
            return
        left = self._opened_at + self._policy.open_for - self._clock()
        if left > 0 or self._probing:
            raise Unavailable(f"{self._name} is unavailable", retry_after=max(left, 0.1))
        self._probing = True

    def abandon(self) -> None:
        """End a call that says nothing about the dependency, such as one that its caller cancelled."""
        self._probing = False

    def record(self, *, ok: bool) -> None:
        """Count a call: `ok` where the dependency answered it, whatever the answer; not where it is away."""
        now = self._clock()
        if ok:
            self._answered_at = now
        if self._opened_at is not None:
            if not self._probing:
                return  # it passed before the breaker opened, and says nothing new
            self._probing = False
            if ok:
                self._close()
            else:
                self._open(now)
            return
        self._calls.append((now, ok))
        self._failures += not ok
        while self._calls[0][0] <= now - self._policy.window:
            self._failures -= not self._calls.popleft()[1]
        failing = len(self._calls) >= self._policy.min_calls and self._failures >= self._policy.failure_ratio * len(
            self._calls
        )
        if failing and now >= self._answered_at + self._policy.silence:
            self._open(now)

    def _open(self, now: float) -> None:
        if self._opened_at is None:
            self._opened.inc()
        self._opened_at = now
        self._gauge.set(1)

    def _close(self) -> None:
        self._opened_at = None
        self._calls.clear()
        self._failures = 0
        self._gauge.set(0)


class RetryBudget:
    """A token bucket: each call earns a part of a retry, so that retries cannot multiply an overload."""

    def __init__(self, *, ratio: float = 0.1, most: float = 10.0) -> None:
        self._ratio = ratio
        self._most = most
        self._tokens = most

    def earn(self) -> None:
        """Count a first attempt."""
        self._tokens = min(self._most, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Use one retry of the budget; False where none is left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Retrier:
    """Repeats calls to one dependency that ended in a Transient fault: full-jitter pauses, within the budget.

    Any other fault is final. An InternalError is not repeated either: the same request would most likely fail again.
    """

    def __init__(self, name: str, metrics: Metrics, *, attempts: int = 3) -> None:
        self._attempts = attempts
        self._budget = RetryBudget()
        self._retried = metrics.retries.labels(name)
        self._denied = metrics.retries_denied.labels(name)

    async def __call__(self, act: Callable[[], Awaitable[T]]) -> T:
        """Call `act` up to the number of attempts; the last fault is raised as it came."""
        self._budget.earn()
        try:
            return await act()
        except Transient as fault:
            if self._attempts == 1:
                raise
            first = fault
        return await self._repeat(act, first)

    async def _repeat(self, act: Callable[[], Awaitable[T]], first: Transient) -> T:
        """Repeat `act`, which has just failed with `first`; what repeats it would cost more than most calls that succeed."""

        def again(error: Exception) -> bool:
            if not isinstance(error, Transient):
                return False
            if not self._budget.spend():
                self._denied.inc()
                return False
            return True

        async for attempt in stamina.retry_context(
            on=again, attempts=self._attempts, timeout=None, wait_initial=0.05, wait_max=1.0, wait_jitter=1.0
        ):
            with attempt:
                if attempt.num == 1:
                    raise first
                self._retried.inc()
                return await act()
        raise AssertionError("unreachable")  # the last attempt returns or raises
