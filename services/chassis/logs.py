"""JSON log lines on standard output, each with the service, its role and the request it belongs to."""

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

from services.chassis import call
from services.chassis.env import BadSettings
from services.chassis.redaction import redacted

Logger = structlog.typing.FilteringBoundLogger

_QUIET = frozenset({"debug", "info"})
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(service: str, role: str, level: str) -> Logger:
    """Configure logging for this process and give its logger; BadSettings for an unknown level."""
    if level.lower() not in _LEVELS:
        raise BadSettings(f"LOG_LEVEL: must be one of {', '.join(_LEVELS)} (got {level!r})")
    threshold = _LEVELS[level.lower()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without local variables: they are slow to show, and may hold what must not be in a log.
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            _redact,
            structlog.processors.JSONRenderer(serializer=_encode),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Forward(service, role)]
    root.setLevel(logging.ERROR)
    logger: Logger = structlog.get_logger().bind(service=service, role=role)
    return logger


def _add_request(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the request under way and its trace on the line."""
    now = call.current()
    if now.request_id:
        event.setdefault("request_id", now.request_id)
    if now.traceparent:
        event.setdefault("trace_id", now.trace_id)
    return event


def _redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of a line that may hold the text of a library's error. Other lines hold nothing of a request."""
    if event["level"] in _QUIET and "error" not in event:
        return event
    return {name: _redacted(value) for name, value in event.items()}


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _redacted(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(one) for one in value]
    if isinstance(value, (str, BaseException)):
        return redacted(str(value))
    return value


def _encode(event: Any, **_: object) -> bytes:
    """Encode a log line; what JSON does not know is shown as text. Text that UTF-8 cannot hold is escaped."""
    try:
        return msgspec.json.encode(event, enc_hook=str)
    except UnicodeEncodeError:  # a lone surrogate, out of somebody's JSON: a log call must not fail for it
        return json.dumps(event, default=str).encode()


class _Forward(logging.Handler):
    """Writes the errors that libraries log as JSON lines, with their tracebacks."""

    def __init__(self, service: str, role: str) -> None:
        super().__init__(logging.ERROR)
        self._log = structlog.get_logger().bind(service=service, role=role)

    def emit(self, record: logging.LogRecord) -> None:
        self._log.error(record.getMessage(), logger=record.name, exc_info=record.exc_info)
