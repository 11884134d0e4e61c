"""Spans as messages of OTLP. Each becomes its message when it ends: OpenTelemetry's own way there, by its SDK's spans, costs ten times as much.

The message types, and what sends them, are OpenTelemetry's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from services.chassis import call
from services.chassis.tracing.span import Kind, Span

SCOPE = "cartwright"
_KINDS = {
    Kind.INTERNAL: trace_pb2.Span.SPAN_KIND_INTERNAL,
    Kind.SERVER: trace_pb2.Span.SPAN_KIND_SERVER,
    Kind.CLIENT: trace_pb2.Span.SPAN_KIND_CLIENT,
    Kind.PRODUCER: trace_pb2.Span.SPAN_KIND_PRODUCER,
    Kind.CONSUMER: trace_pb2.Span.SPAN_KIND_CONSUMER,
}
_LOCAL: Final = trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _LOCAL | trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_FAILED: Final = trace_pb2.Status.STATUS_CODE_ERROR


class EndedSpan(ReadableSpan):
    """A span on its way to the collector. For the SDK's queue, which looks at its context alone, it is a sampled span of the SDK."""

    __slots__ = ("message",)
    _context = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def __init__(self, span: Span) -> None:
        """Make the message. ValueError: its traceparent, or that of a link, is none."""
        self.message = message(span)


class OtlpExporter(OTLPSpanExporter):
    """Sends ended spans, as OTLPSpanExporter sends those of the SDK: with its settings, its retries and its time limit."""

    def __init__(self, resource: Mapping[str, Any]) -> None:
        """Take what is said of this process, such as `service.name`."""
        super().__init__()
        self._resource = [_attribute(name, value) for name, value in resource.items()]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        request = ExportTraceServiceRequest()
        of_process = request.resource_spans.add()
        of_process.resource.attributes.extend(self._resource)
        of_scope = of_process.scope_spans.add()
        of_scope.scope.name = SCOPE
        of_scope.spans.extend(span.message for span in spans if isinstance(span, EndedSpan))
        sent = self._client.export(request.SerializeToString())
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def message(span: Span) -> trace_pb2.Span:
    """Return the message of a span. ValueError: its traceparent, or that of a link, is none."""
    made = trace_pb2.Span()
    made.trace_id = bytes.fromhex(span.trace_id)
    made.span_id = bytes.fromhex(span.span_id)
    made.flags = _LOCAL
    if span.parent_id:
        made.parent_span_id = bytes.fromhex(span.parent_id)
        made.flags = _REMOTE if span.is_root else _LOCAL
    made.name = span.name
    made.kind = _KINDS[span.kind]
    made.start_time_unix_nano = span.start_ns
    made.end_time_unix_nano = span.end_ns
    for name, value in (span.attributes or {}).items():
        _set(made.attributes.add(), name, value)
    if span.is_root and span.request_id:
        _set(made.attributes.add(), "cartwright.request_id", span.request_id)
    if span.error is not None:
        _set(made.attributes.add(), "error.type", span.error)
        made.status.code = _FAILED
    for one in span.links:
        if not call.is_traceparent(one):
            raise ValueError("a link is no traceparent")
        link = made.links.add()
        link.trace_id = bytes.fromhex(call.trace_id(one))
        link.span_id = bytes.fromhex(call.span_id(one))
        link.flags = _REMOTE
    return made


def _attribute(name: str, value: Any) -> KeyValue:
    made = KeyValue()
    _set(made, name, value)
    return made


def _set(attribute: KeyValue, name: str, value: Any) -> None:
    attribute.key = name
    _fill(attribute.value, value)


def _fill(into: AnyValue, value: Any) -> None:
    """Write a value of OpenTelemetry's attributes. A bool is an int for Python, and not for OTLP."""
    if isinstance(value, str):
        into.string_value = value
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int):
        into.int_value = value
    elif isinstance(value, float):
        into.double_value = value
    else:  # only a process has such, where OTEL_EXPERIMENTAL_RESOURCE_DETECTORS asks for its arguments
        for one in value:
            _fill(into.array_value.values.add(), one)
