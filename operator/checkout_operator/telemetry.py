"""The operator's metrics, and its logs in JSON."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from checkout_operator import tracing
from checkout_operator.redaction import redacted_value


class Metrics:
    """The operator's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self.actions = Counter(
            "checkout_operator_actions_total",
            "Calls to the checkout service.",
            ("action", "outcome"),
            registry=self.registry,
        )
        self.writes = Counter(
            "checkout_operator_writes_total", "Writes to the API server.", ("verb", "outcome"), registry=self.registry
        )
        self.skipped = Counter(
            "checkout_mirror_skipped_total",
            "Checkouts that got no mirror, each counted once for a reason.",
            ("reason",),
            registry=self.registry,
        )
        self.mirror_rate = Gauge(
            "checkout_mirror_writes_per_second_limit",
            "The budget of writes for mirrors as it is now: it falls while the API server is slow.",
            registry=self.registry,
        )
        self.mirror_rate_wanted = Gauge(
            "checkout_mirror_writes_per_second_wanted",
            "The budget of writes for mirrors while the API server is quick.",
            registry=self.registry,
        )
        self.resources = Gauge(
            "checkout_operator_resources",
            "Checkouts that exist and are this operator's.",
            ("managed_by",),
            registry=self.registry,
        )
        self.members = Gauge(
            "checkout_operator_members",
            "Operators that share the work, this one included; 0 for one that works on nothing, since its Lease is not renewed.",
            registry=self.registry,
        )
        self.members.set(1)
        self.clock_skew = Gauge(
            "checkout_operator_clock_skew_seconds",
            "How far the API server's clock is ahead of this machine's; 0 for less than 2 s.",
            registry=self.registry,
        )
        self.missing_rights = Gauge(
            "checkout_operator_missing_rights",
            "1 for a right that the API server refuses the operator.",
            ("verb", "resource", "target_namespace"),  # `namespace` is what Prometheus calls that of the pod
            registry=self.registry,
        )
        self.backlog = Gauge(
            "checkout_operator_backlog",
            "Resources in the work queue, those included that are being started or cancelled.",
            registry=self.registry,
        )
        self.compared_at = Gauge(
            "checkout_operator_compared_timestamp_seconds",
            "When everything was last compared, by the API server's clock.",
            registry=self.registry,
        )
        self.faults = Counter(
            "checkout_operator_faults_total",
            "Unexpected errors, each with its traceback in the log.",
            registry=self.registry,
        )
        self.spans = Counter(
            "checkout_operator_spans_total", "Spans, by what became of them.", ("outcome",), registry=self.registry
        )
        self.loop_lag = Gauge(
            "checkout_operator_loop_lag_seconds",
            "How late the event loop ran at most within the last 15 s.",
            registry=self.registry,
        )


def _add_trace(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the trace of the checkout under way on the line."""
    if trace_id := tracing.trace_id():
        event.setdefault("trace_id", trace_id)
    return event


def _redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of a line, its traceback included. The texts of errors are those of libraries and of the API server."""
    return {name: redacted_value(value) for name, value in event.items()}


def make_log(level: str) -> structlog.stdlib.BoundLogger:
    """Log to the standard output in JSON, kopf's messages included. Returns the operator's logger."""
    shared: list[Any] = [_add_trace, structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso")]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("cartwright").setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    log: structlog.stdlib.BoundLogger = structlog.get_logger("cartwright.operator")
    return log
