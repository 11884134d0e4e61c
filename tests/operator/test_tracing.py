"""The operator's part of a trace: its writes belong to the checkout's, and a resource's checkout begins one."""

from dataclasses import replace

import grpc
import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import LogCapture

from checkout_operator import telemetry, tracing
from checkout_operator.config import Config
from checkout_operator.saga_client import SagaClient
from checkout_operator.spec import CheckoutSpec, Resource
from checkout_operator.trace_export import Tracing
from services.pb import checkout_pb2 as pb
from services.pb import checkout_pb2_grpc
from tests.operator.views import rest

TRACE, CLAIM = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{CLAIM}-01", f"00-{TRACE}-{CLAIM}-00"


@pytest.fixture
def spans(metrics):
    """Record everything that may be recorded; give what was exported so far."""
    exporter = InMemorySpanExporter()
    recording = Tracing(Config(otel_traces_sampler="always_on"), metrics.spans, exporter)
    tracing.use(recording)

    def exported():
        recording._provider.force_flush()
        return exporter.get_finished_spans()

    yield exported
    tracing.use(None)
    recording.close()


def named(spans):
    """Give the names of spans, and whether each is a child of the claim."""
    return [(one.name, one.parent is not None and f"{one.parent.span_id:016x}" == CLAIM) for one in spans]


async def test_writes_belong_to_the_trace_of_their_checkout(spans, projector, view):
    """What the operator writes of a sampled checkout is in its trace, below the claim."""
    projector.enqueue(replace(rest(view), traceparent=SAMPLED))
    await projector.flush()
    assert named(spans()) == [("create Checkout", True), ("status Checkout", True)]
    assert {f"{one.context.trace_id:032x}" for one in spans()} == {TRACE}


@pytest.mark.parametrize("traceparent", [NOT_SAMPLED, "", "00-nonsense"])
async def test_what_is_not_sampled_is_not_recorded(spans, projector, view, cluster, traceparent):
    """Of a checkout that is not sampled, or that names no trace, nothing is recorded, and it is shown as any other."""
    projector.enqueue(replace(rest(view), traceparent=traceparent))
    await projector.flush()
    assert cluster.calls == [("create", "co-c1"), ("status", "co-c1")]
    assert named(spans()) == []


async def test_a_failed_write_has_its_trace_on_its_line(new, view, cluster, away):
    """The log line of a failed write names the trace of its checkout, also where nothing is traced."""
    captured = LogCapture()
    structlog.configure(processors=[telemetry._add_trace, captured])

    cluster.faults["create"] = [away()]
    projector = new()
    projector._log = structlog.get_logger()
    projector.enqueue(replace(rest(view), traceparent=NOT_SAMPLED))
    await projector.flush()
    structlog.reset_defaults()
    assert [(one["event"], one["trace_id"]) for one in captured.entries] == [("a write failed", TRACE)]


class Service(checkout_pb2_grpc.CheckoutServiceServicer):
    """Records what is started."""

    def __init__(self):
        self.asked = []

    async def StartCheckouts(self, request, context):  # noqa: N802 - the proto's name
        self.asked.extend(request.items)
        answer = pb.Answer(checkout=pb.Checkout(id="c", origin=pb.RESOURCE, traceparent=SAMPLED))
        return pb.StartCheckoutsResponse(results=[pb.StartCheckoutResult(answer=answer) for _ in request.items])


@pytest.fixture
async def service():
    """Give a checkout service, and a client of it."""
    service, server = Service(), grpc.aio.server()
    checkout_pb2_grpc.add_CheckoutServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = SagaClient(f"127.0.0.1:{port}")
    yield service, client
    await client.close()
    await server.stop(None)


def resource(key):
    """Give a resource with this key."""
    spec = CheckoutSpec(7, ((2, 1),), key, 30, 300, cancel=False, mirror_of=None)
    return Resource(f"r-{key}", "default", f"u-{key}", 1, "2026-01-01T00:00:00Z", spec)


async def test_the_checkout_of_a_resource_begins_a_trace(spans, service):
    """Each resource of a call begins a trace of its own, which goes along to the service and comes back with the checkout."""
    served, client = service
    assert [one.traceparent for one in await client.start([resource("a"), resource("b")])] == [SAMPLED, SAMPLED]
    sent = sorted(item.call.traceparent for item in served.asked)
    assert all(int(one[-2:], 16) & 1 for one in sent)
    assert [one[:-2] for one in sent] == sorted(
        f"00-{one.context.trace_id:032x}-{one.context.span_id:016x}-" for one in spans()
    )
    assert len(set(sent)) == 2
    assert {(one.name, one.attributes["cartwright.resource"]) for one in spans()} == {
        ("start Checkout", "r-a"),
        ("start Checkout", "r-b"),
    }


async def test_without_a_collector_nothing_goes_along(service):
    """Without a collector a resource's call has no traceparent, and the service makes one."""
    served, client = service
    await client.start([resource("a")])
    assert [item.call.traceparent for item in served.asked] == [""]


def test_what_does_not_fit_is_counted(metrics):
    """A span that finds the queue full is dropped and counted; what was sent is counted too."""
    recording = Tracing(
        Config(otel_traces_sampler="always_on", otel_bsp_max_queue_size=2), metrics.spans, InMemorySpanExporter()
    )
    for _ in range(5):
        with recording.root("start Checkout", {}):
            pass
    recording.close()
    counted = {one: metrics.spans.labels(one)._value.get() for one in ("exported", "dropped", "failed")}
    assert counted["failed"] == 0
    assert counted["exported"] + counted["dropped"] == 5
    assert counted["exported"] >= 2
