"""Logs and metrics of simulated processes: counted and told, not written."""

from collections.abc import Callable
from typing import Any


class Instrument:
    """A counter, a gauge or a histogram. What it counts is also counted under its name and labels for the whole run."""

    __slots__ = ("_count", "_name")

    def __init__(self, name: str, count: Callable[[str], None]) -> None:
        self._name = name
        self._count = count

    def labels(self, *values: object) -> "Instrument":
        """Return the instrument of these label values."""
        return Instrument(f"{self._name}{{{','.join(map(str, values))}}}", self._count)

    def inc(self, amount: float = 1) -> None:
        """Count."""
        if amount:
            self._count(self._name)


class Silent:
    """An instrument that nobody looks at."""

    __slots__ = ()

    def labels(self, *values: object) -> "Silent":
        """Return itself."""
        return self

    def inc(self, amount: float = 1) -> None:
        """Do nothing."""

    set = observe = inc

    def set_function(self, read: Callable[[], float]) -> None:
        """Do nothing."""

    def remove(self, *values: object) -> None:
        """Do nothing."""


SILENT = Silent()


class QuietMetrics:
    """Stands where services.chassis.telemetry.Metrics does."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self.served = self.called = self.breaker_open = SILENT
        self.batch_items = self.batch_waits = self.batch_seconds = SILENT
        self.internal_errors = Instrument("internal_errors", count)
        self.retries = Instrument("retries", count)
        self.retries_denied = Instrument("retries_denied", count)
        self.breaker_opened = Instrument("breaker_opened", count)
        self.batch_shed = Instrument("batch_shed", count)

    def counter(self, name: str, _: str = "", labels: object = ()) -> Instrument:
        """Return a counter."""
        return Instrument(name.removeprefix("cartwright_").removesuffix("_total"), self._count)

    def gauge(self, name: str, _: str = "", labels: object = ()) -> Silent:
        """Return a gauge."""
        return SILENT

    def histogram(self, name: str, _: str = "", labels: object = (), buckets: object = ()) -> Silent:
        """Return a histogram."""
        return SILENT


class QuietLog:
    """Stands where a structlog logger does; what is worth telling goes into the story."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell

    def bind(self, **_: Any) -> "QuietLog":
        """Return itself: what a line is about is in its facts."""
        return self

    def info(self, event: str, **facts: Any) -> None:
        """Say nothing."""

    debug = info

    def warning(self, event: str, **facts: Any) -> None:
        """Tell."""
        self._tell(event, facts)

    error = exception = warning
