"""Sends spans to a collector by OTLP. With `otlp` the only importer of OpenTelemetry, and imported only where there is a collector.

A thread of its own sends them in batches. Nobody waits for it: what does not fit into its queue is dropped, and what a collector
does not take is lost. Both are counted.
"""

import logging
import threading
from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import Counter

from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.chassis.tracing.otlp import EndedSpan, OtlpExporter
from services.chassis.tracing.settings import TracingSettings
from services.chassis.tracing.span import Span

FLUSH_SECONDS = 2.0
"""How long a process that ends waits for its last spans to be sent."""


class Exporting:
    """Hands spans to the thread that sends them."""

    def __init__(
        self, name: str, settings: TracingSettings, log: Logger, metrics: Metrics, exporter: SpanExporter | None = None
    ) -> None:
        """Take the name of this process in traces. `exporter`: what sends; OTLP over HTTP if None."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # an export that fails is logged below, once
        resource = Resource.create({"service.name": name, "service.namespace": "cartwright"})
        self._spans = metrics.counter("cartwright_spans_total", "Spans, by what became of them.", ("outcome",))
        self._dropped = self._spans.labels("dropped")
        self._most = settings.otel_bsp_max_queue_size
        self._queued = 0
        self._counting = _Counting(exporter or OtlpExporter(resource.attributes), log, self._spans)
        self._processor = BatchSpanProcessor(
            self._counting,
            max_queue_size=self._most,
            max_export_batch_size=min(self._most, settings.otel_bsp_max_export_batch_size),
        )

    def __call__(self, span: Span) -> None:
        """Queue a span, or drop it where the queue is full."""
        if self._queued - self._counting.done >= self._most:
            self._dropped.inc()
            return
        try:
            ended = EndedSpan(span)
        except ValueError:  # a stored traceparent that is none: nobody's request may fail for it
            self._dropped.inc()
            return
        self._queued += 1
        self._processor.on_end(ended)

    def close(self) -> None:
        """Send what is queued, for FLUSH_SECONDS at most."""
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


class _Counting(SpanExporter):
    """An exporter that counts, and that logs when it begins to fail and when it works again."""

    def __init__(self, exporter: SpanExporter, log: Logger, spans: Counter) -> None:
        self.done = 0
        """How many spans were sent or lost."""
        self._exporter = exporter
        self._log = log
        self._sent, self._lost = spans.labels("exported"), spans.labels("failed")
        self._works = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            works = result is SpanExportResult.SUCCESS
            (self._sent if works else self._lost).inc(len(spans))
            self.done += len(spans)
            if works and not self._works:
                self._log.info("the collector takes spans again")
            elif self._works and not works:
                self._log.warning("the collector takes no spans; they are lost until it does")
            self._works = works
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return whether all is sent."""
        return self._exporter.force_flush(timeout_millis)
