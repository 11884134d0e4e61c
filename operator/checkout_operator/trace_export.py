"""Records spans with OpenTelemetry, and sends them to a collector. Imported only where there is one.

A thread of its own sends them. What does not fit into its queue is dropped, and what a collector does not take is lost; both are
counted. The operator samples heads only: what it does late or fails to do is in its metrics, its log and its events.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter

from checkout_operator.config import Config

FLUSH_SECONDS = 2.0
"""How long a process that ends waits for its last spans to be sent."""
_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Fits the port Tracer."""

    def __init__(self, config: Config, spans: Counter, exporter: SpanExporter | None = None) -> None:
        """Take what counts spans by their outcome. `exporter`: what sends; OTLP over HTTP if None."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what is lost is counted
        resource = Resource.create({"service.name": "operator", "service.namespace": "cartwright"})
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(config.trace_ratio), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            _Bounded(exporter or OTLPSpanExporter(), spans, config.otel_bsp_max_queue_size)
        )
        self._tracer = self._provider.get_tracer("cartwright")

    @contextmanager
    def child(self, name: str, traceparent: str, facts: Mapping[str, str]) -> Iterator[str]:
        """Return a span below the one that a traceparent names; the context gives its own traceparent.

        Where that is no traceparent, nothing is recorded.
        """
        parent = _PROPAGATOR.extract({"traceparent": traceparent}, Context())
        if not trace.get_current_span(parent).get_span_context().is_valid:
            yield ""
            return
        with self._span(name, parent, facts) as own:
            yield own

    @contextmanager
    def root(self, name: str, facts: Mapping[str, str]) -> Iterator[str]:
        """Return the first span of a new trace; the context gives its traceparent."""
        with self._span(name, Context(), facts) as own:
            yield own

    @contextmanager
    def _span(self, name: str, parent: Context, facts: Mapping[str, str]) -> Iterator[str]:
        with self._tracer.start_as_current_span(name, parent, attributes=facts, record_exception=False) as span:
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
            yield carrier.get("traceparent", "")

    def close(self) -> None:
        """Send what is queued, for FLUSH_SECONDS at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


class _Bounded(BatchSpanProcessor):
    """Queues so many spans at most, and counts what becomes of them."""

    def __init__(self, exporter: SpanExporter, spans: Counter, most: int) -> None:
        self._counting = _Counting(exporter, spans)
        self._dropped = spans.labels("dropped")
        self._most = most
        self._queued = 0
        super().__init__(self._counting, max_queue_size=most, max_export_batch_size=min(most, 512))

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span, or drop it where the queue is full."""
        if not (span.context and span.context.trace_flags.sampled):
            return
        if self._queued - self._counting.done >= self._most:
            self._dropped.inc()
            return
        self._queued += 1
        super().on_end(span)


class _Counting(SpanExporter):
    """An exporter that counts what it sends."""

    def __init__(self, exporter: SpanExporter, spans: Counter) -> None:
        self.done = 0
        """How many spans were sent or lost."""
        self._exporter = exporter
        self._sent, self._lost = spans.labels("exported"), spans.labels("failed")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            (self._sent if result is SpanExportResult.SUCCESS else self._lost).inc(len(spans))
            self.done += len(spans)
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()
