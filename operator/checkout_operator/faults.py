"""Keeps an unexpected error with the resource that met it: one bad resource must not stop the others."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from checkout_operator.telemetry import Metrics


class Faults:
    """Logs and counts unexpected errors."""

    def __init__(self, metrics: Metrics, log: structlog.stdlib.BoundLogger) -> None:
        self._metrics = metrics
        self._log = log

    @contextmanager
    def isolated(self, name: str) -> Iterator[None]:
        """End the work for one resource at an unexpected error, log its traceback, and go on."""
        try:
            yield
        except Exception:  # noqa: BLE001 - whatever it is, the other resources must go on
            self._metrics.faults.inc()
            self._log.exception("an unexpected error", name=name)
