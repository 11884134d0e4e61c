"""Prometheus metrics: one registry per process, and the instruments that every process has."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

# From a cached read to the checkout's deadline of 4.8 s.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
WAIT_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


class Metrics:
    """The registry of one process. Bind label values once, at the start: a bound child costs a third of a lookup."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self.served = self.histogram(
            "cartwright_request_seconds", "Requests answered by this process.", ("method", "code")
        )
        self.called = self.histogram(
            "cartwright_call_seconds", "Calls to other parts, by how they ended.", ("dependency", "method", "outcome")
        )
        self.internal_errors = self.counter(
            "cartwright_internal_errors_total", "Unexpected failures, each logged with its traceback.", ("where",)
        )
        self.retries = self.counter("cartwright_retries_total", "Calls sent again.", ("dependency",))
        self.retries_denied = self.counter(
            "cartwright_retries_denied_total", "Calls not sent again: the retry budget was spent.", ("dependency",)
        )
        self.breaker_open = self.gauge(
            "cartwright_breaker_open", "1 while a dependency's circuit breaker refuses calls.", ("dependency",)
        )
        self.breaker_opened = self.counter(
            "cartwright_breaker_opened_total", "How often a circuit breaker opened.", ("dependency",)
        )

        self.batch_items = self.histogram(
            "cartwright_batch_items", "Items sent in one call.", ("batch",), BATCH_BUCKETS
        )
        self.batch_waits = self.histogram(
            "cartwright_batch_wait_seconds", "How long the oldest item of a batch waited.", ("batch",), WAIT_BUCKETS
        )
        self.batch_seconds = self.histogram(
            "cartwright_batch_seconds", "How long a batch took, from when it was sent to its outcomes.", ("batch",)
        )
        self.batch_shed = self.counter("cartwright_batch_shed_total", "Items refused: too many waited.", ("batch",))

    def counter(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> Counter:
        """Make a counter; its name ends in _total."""
        return Counter(name, documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> Gauge:
        """Make a gauge."""
        return Gauge(name, documentation, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        documentation: str,
        labels: tuple[str, ...] = (),
        buckets: tuple[float, ...] = LATENCY_BUCKETS,
    ) -> Histogram:
        """Make a histogram, by default of seconds."""
        return Histogram(name, documentation, labels, registry=self.registry, buckets=buckets)

    def page(self) -> bytes:
        """Give the metrics page."""
        page: bytes = generate_latest(self.registry)
        return page
