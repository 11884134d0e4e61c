"""A collector of the test's own: takes spans by OTLP over HTTP, as a real one does, and keeps them."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Seen:
    """A span that came."""

    service: str
    name: str
    trace_id: str
    id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    """(trace id, span id) of each."""
    start_ns: int
    end_ns: int
    failed: bool
    facts: dict[str, str | int]


class Collector:
    """What came, by trace."""

    def __init__(self) -> None:
        self.traces: dict[str, list[Seen]] = defaultdict(list)
        self.refuses = False
        """Whether it answers 503."""
        self.url = ""
        self._lock = threading.Lock()

    @property
    def settings(self) -> dict[str, str]:
        """What processes are told that send their spans here.

        Traced is what a test asks for by a traceparent with the sampled flag, and what failed or was slow.
        """
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def trace(self, trace_id: str) -> list[Seen]:
        """Return the spans of a trace in the order of their begin."""
        with self._lock:
            return sorted(self.traces.get(trace_id, ()), key=lambda one: one.start_ns)

    def take(self, body: bytes) -> None:
        """Keep the spans of a request."""
        with self._lock:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _facts(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.traces[span.trace_id.hex()].append(_seen(str(service), span))


def _facts(attributes) -> dict[str, str | int]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def _seen(service, span) -> Seen:
    return Seen(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == span.status.STATUS_CODE_ERROR,
        _facts(span.attributes),
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector, and end it afterwards."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not collector.refuses and self.path == "/v1/traces":
                collector.take(body)
            self.send_response(503 if collector.refuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def paths(spans: Sequence[Seen]) -> dict[str, int]:
    """Return the shape of a trace: how many spans there are with each path, which is `service: name` of it and of all above it."""
    by_id = {one.id: one for one in spans}

    def path(one: Seen) -> str:
        above = by_id.get(one.parent_id)
        return (f"{path(above)} > " if above else "") + f"{one.service}: {one.name}"

    return Counter(map(path, spans))


def paths_in(tree: str) -> set[str]:
    """Read the paths of a tree that is written down as lines, each two blanks further in than the one above it."""
    found: set[str] = set()
    above: list[str] = []
    for line in filter(str.strip, tree.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        above[depth:] = [line.strip()]
        found.add(" > ".join(above))
    return found
