"""Unexpected failures: each is logged with its traceback and counted, once, where it happens."""

from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics


def report(log: Logger, metrics: Metrics, where: str, error: BaseException, **facts: object) -> None:
    """Log and count a failure that nobody foresaw; `where` is a method, a route or a worker's loop."""
    metrics.internal_errors.labels(where).inc()
    log.error("unexpected failure", where=where, reason=reason(error), exc_info=error, **facts)


def reason(error: BaseException) -> str:
    """Give the type and the text of an error on one line; of a group, those of each error in it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(reason(one) for one in error.exceptions)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
