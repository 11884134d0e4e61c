"""Sending spans: what a collector that is away, slow or gone does to the process, and what it gets."""

import threading

import pytest
import structlog
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from services.chassis import call, tracing
from services.chassis.telemetry import Metrics
from services.chassis.tracing import starting
from services.chassis.tracing.export import Exporting
from services.chassis.tracing.settings import TracingSettings
from tests.collector import collecting
from tests.platforms import total

PARENT = "00-0123456789abcdef0123456789abcdef-00000000000000aa-01"


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Send soon."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


class Held(SpanExporter):
    """A collector that answers when it is let."""

    def __init__(self):
        self.answers = threading.Event()
        self.result = SpanExportResult.SUCCESS
        self.got = []

    def export(self, spans):
        """Take spans."""
        assert self.answers.wait(30)
        self.got.extend(spans)
        return self.result


def counted(metrics: Metrics) -> dict[str, float]:
    """Give how many spans there were by what became of them."""
    page = metrics.page().decode()
    outcomes = ("exported", "failed", "dropped")
    return {one: total(page, f'cartwright_spans_total{{outcome="{one}"}}') for one in outcomes}


def record(number: int) -> None:
    """Record a trace of one span, which is sampled."""
    with call.within(call.incoming("r-1", PARENT, seconds=None)), tracing.root(f"span {number}"):
        pass


@pytest.fixture
def exporting():
    """Begin to export with a queue of 10 spans, to what a test gives; end it afterwards."""
    begun = []

    def begin(exporter):
        metrics = Metrics()
        settings = TracingSettings.from_env({"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5"})
        begun.append(Exporting("checkout", settings, structlog.get_logger(), metrics, exporter))
        tracing.use(tracing.Recorder(begun[0], ratio=1, slow_seconds=3600))
        return metrics

    yield begin
    tracing.use(None)
    begun[0].close()


def test_a_full_queue_drops_and_counts(exporting, eventually):
    """While a collector hangs nobody waits for it: the queue has its bound, and what does not fit is counted."""
    held = Held()
    metrics = exporting(held)
    for number in range(100):
        record(number)
    assert counted(metrics)["dropped"] == 90
    held.answers.set()
    eventually(lambda: counted(metrics)["exported"] == 10)
    record(100)
    eventually(lambda: counted(metrics) == {"exported": 11, "failed": 0, "dropped": 90})


def test_a_collector_that_is_away_is_logged_once(exporting, eventually):
    """What a collector does not take is lost and counted, with one log line when that begins and one when it ends."""
    held = Held()
    held.answers.set()
    held.result = SpanExportResult.FAILURE
    with structlog.testing.capture_logs() as lines:
        metrics = exporting(held)
        for number in range(3):
            record(number)
            eventually(lambda lost=number + 1: counted(metrics)["failed"] == lost)
        held.result = SpanExportResult.SUCCESS
        record(4)
        eventually(lambda: counted(metrics)["exported"] == 1)
    assert [line["event"] for line in lines] == [
        "the collector takes no spans; they are lost until it does",
        "the collector takes spans again",
    ]


def test_a_link_that_is_none_fails_nothing(exporting, eventually):
    """A stored traceparent that is malformed costs its span, and not the work that the span is about."""
    held = Held()
    held.answers.set()
    metrics = exporting(held)
    with call.within(call.incoming("r-1", PARENT, seconds=None)), tracing.root("saga", links=("nonsense",)):
        pass
    record(1)
    eventually(lambda: counted(metrics) == {"exported": 1, "failed": 0, "dropped": 1})


def test_a_collector_gets_what_was_recorded(monkeypatch, eventually):
    """A real exporter sends each span with its process, parent, links, facts and failure, and the rest when the process ends."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": "1"}
        end = starting.start("checkout", "relay", env, structlog.get_logger(), Metrics())
        with call.within(call.incoming("r-1", PARENT, seconds=None)), tracing.root("saga", links=(PARENT,)) as saga:
            saga.set("user.id", 7)
            with tracing.span("saga.reserve") as step:
                step.fail("OutOfStock")
        end()
        saga, step = collector.trace(PARENT[3:35])
    assert (saga.service, saga.name, saga.parent_id) == ("checkout-relay", "saga", PARENT[36:52])
    assert saga.links == ((PARENT[3:35], PARENT[36:52]),)
    assert saga.facts == {"user.id": 7, "cartwright.request_id": "r-1"}
    assert (step.parent_id, step.failed, saga.failed) == (saga.id, True, False)
    assert step.facts == {"error.type": "OutOfStock"}
    assert saga.start_ns <= step.start_ns <= step.end_ns <= saga.end_ns


def test_an_unreachable_collector_does_not_hold_up_the_end(monkeypatch):
    """A process ends within its time, also where nobody takes its last spans."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    metrics = Metrics()
    end = starting.start("checkout", "serve", env, structlog.get_logger(), metrics)
    record(1)
    end()
    assert tracing.recorder() is None
