"""Which spans are recorded, which of them are exported, and what traces cost where there is no collector."""

import asyncio
import gc
import subprocess
import sys

import pytest

from devstack.home import ROOT
from services.chassis import call, tracing
from services.chassis.batch import Batcher
from services.chassis.env import BadSettings
from services.chassis.postgres import Postgres
from services.chassis.sql_summary import summary
from services.chassis.telemetry import Metrics
from services.chassis.tracing.consuming import process
from services.chassis.tracing.sampling import RatioSampler
from services.chassis.tracing.settings import TracingSettings

SLOW = 3600.0
TRACE = "00-{}-00000000000000aa-{}"


@pytest.fixture
def exported():
    """Give the spans that are exported. Nothing here is slow, and nothing is sampled but by its traceparent."""
    spans = []
    tracing.use(tracing.Recorder(spans.append, ratio=0, slow_seconds=SLOW, obeys_client=True))
    yield spans
    tracing.use(None)


def asked(number: int, *, sampled: bool) -> call.Call:
    """Give a request of a trace of its own, recorded as the gateway does it."""
    text = TRACE.format(f"{number:032x}", "01" if sampled else "00")
    return tracing.recorder().enter(call.incoming(f"r-{number}", text, seconds=None, spans=[]), from_client=True)


def names(spans) -> list[str]:
    """Give the names of spans."""
    return [one.name for one in spans]


@pytest.mark.parametrize(
    ("package", "module"), [("services", "services.checkout.main"), ("operator", "checkout_operator.main")]
)
def test_without_a_collector_no_sdk_is_imported(package, module):
    """A process without a collector has no module of OpenTelemetry, and none is needed to import ours."""
    program = f"""
import sys
import {module}
from services.chassis import call, tracing
from services.chassis.telemetry import Metrics
from services.chassis.tracing import starting
starting.start("checkout", "serve", {{"OTEL_TRACES_SAMPLER": "always_on"}}, None, Metrics())
assert tracing.recorder() is None
with call.within(call.incoming("r", "", seconds=1)):
    assert tracing.span("x") is tracing.root("y") is tracing.NO_SPAN
    assert tracing.ride("z", call.current()) is None
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]", package


@pytest.mark.parametrize(
    ("env", "is_on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_turn_it_on(env, is_on):
    """The variables of OpenTelemetry's specification decide whether anything is recorded."""
    assert TracingSettings.from_env(env).is_on is is_on


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_TRACES_SAMPLER_ARG": "2"},
        {"OTEL_TRACES_SAMPLER": "sometimes"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"TRACE_SLOW": "soon"},
    ],
)
def test_a_wrong_setting_is_named(env):
    """What cannot be meant is refused at the start, by the name of its variable."""
    with pytest.raises(BadSettings, match=next(iter(env))):
        TracingSettings.from_env(env)


def test_the_ratio_is_kept():
    """About the share of all traces that was asked for is sampled; 0 is none and 1 is all."""
    texts = [call.incoming("", "", seconds=None).traceparent for _ in range(20_000)]
    assert 130 < sum(map(RatioSampler(0.01), texts)) < 270
    assert not any(map(RatioSampler(0), texts))
    assert all(map(RatioSampler(1), texts))


def test_a_client_does_not_decide(exported):
    """A client's sampled flag counts only where the sampler is parentbased, and its trace id is kept either way."""
    text = TRACE.format("0" * 31 + "7", "01")
    closed = tracing.Recorder(exported.append, ratio=0, slow_seconds=SLOW)
    mine = closed.enter(call.incoming("r", text, seconds=None), from_client=True)
    assert not mine.is_sampled
    assert mine.trace_id == call.incoming("r", text, seconds=None).trace_id
    assert asked(7, sampled=True).is_sampled


@pytest.mark.parametrize(
    "text",
    [
        "00-" + "0" * 32 + "-00000000000000aa-01",
        "00-" + "a" * 32 + "-" + "0" * 16 + "-01",
        "01-" + "a" * 32 + "-00000000000000aa-01",
        "00-" + "A" * 32 + "-00000000000000aa-01",
        "00-a-b-01",
    ],
)
def test_a_malformed_traceparent_is_replaced(text):
    """A traceparent that W3C calls invalid begins a new trace."""
    now = call.incoming("r", text, seconds=None)
    assert now.traceparent != text
    assert int(now.trace_id, 16) > 0


def test_what_went_well_and_quickly_is_dropped(exported):
    """Of a trace that is not sampled nothing is exported, unless its local root failed, was slow or is worth a look."""
    for _ in range(3):
        with call.within(asked(1, sampled=False)), tracing.root("saga"), tracing.span("saga.reserve") as step:
            step.fail("a step that was repeated")
    assert exported == []


@pytest.mark.parametrize("how", ["raised", "noted", "slow", "worth a look"])
def test_a_failure_is_kept_whole(exported, how, monkeypatch):
    """A local root that failed or was slow is exported with all that happened within it, also where it was not sampled."""
    if how == "slow":
        monkeypatch.setattr(tracing.recorder(), "_slow_seconds", 0.0)
    try:
        with call.within(asked(1, sampled=False)), tracing.root("saga", is_kept=how == "worth a look") as saga:
            with tracing.span("saga.reserve"), tracing.span("inventory/Reserve"):
                pass
            if how == "raised":
                int("no number")
            if how == "noted":
                saga.fail("OutOfStock")
    except ValueError:
        pass
    assert names(exported) == ["saga", "inventory/Reserve", "saga.reserve"]
    assert exported[0].error == {"raised": "ValueError", "noted": "OutOfStock"}.get(how)
    root, inner, outer = exported
    assert (inner.parent_id, outer.parent_id) == (outer.span_id, root.span_id)
    assert {one.trace_id for one in exported} == {f"{1:032x}"}


def test_a_request_that_fails_is_kept_with_its_calls(exported):
    """The gateway's request of a trace that is not sampled is exported where it failed, below the client's span."""
    now = asked(1, sampled=False)
    with call.within(now), tracing.span("cart/GetCarts"):
        pass
    assert not tracing.recorder().is_wanted(now, None, 0.1)
    assert tracing.recorder().is_wanted(now, None, SLOW)
    assert tracing.recorder().is_wanted(now, "503", 0.1)
    tracing.recorder().leave(
        now, name="GET /api/v1/cart", parent_id="00000000000000aa", seconds=0.1, error="503", attributes={}
    )
    root, inner = exported
    assert (root.name, root.parent_id, root.span_id) == ("GET /api/v1/cart", "00000000000000aa", inner.parent_id)
    assert root.end_ns - root.start_ns == 100_000_000


def test_failures_are_kept_within_an_allowance(exported):
    """An outage that fails every request costs few traces, and does not keep another failure from being seen."""
    for number in range(50):
        with call.within(asked(number, sampled=False)), tracing.root("saga") as saga:
            saga.fail("PaymentDeclined")
    with call.within(asked(99, sampled=False)), tracing.root("saga") as saga:
        saga.fail("Unavailable")
    assert 5 <= len(exported) <= 7
    assert exported[-1].error == "Unavailable"


def test_what_waits_is_bounded(exported):
    """A local root that never ends keeps no more than so many spans."""
    now = asked(1, sampled=False)
    with call.within(now):
        for _ in range(1000):
            with tracing.span("SELECT payments"):
                pass
    assert len(now.spans) == 256


async def test_a_sampled_request_keeps_nothing(exported):
    """What is recorded of a sampled request is exported at once and waits nowhere, whoever else rides in its batches."""
    gate = asyncio.Event()
    requests = [asked(number, sampled=number == 2) for number in (1, 2, 3)]
    await ask_together(echo(Metrics(), gate), gate, requests)
    with call.within(requests[1]), tracing.root("saga"), tracing.span("saga.reserve"):
        pass
    assert names(exported) == ["cart/GetCarts", "cart.GetCarts", "cart.GetCarts", "saga.reserve", "saga"]
    assert call.SAMPLED == []


def echo(metrics: Metrics, gate: asyncio.Event) -> Batcher:
    """Give a batcher that makes a call and a statement for its items, once the gate is open."""

    async def send(items):
        await gate.wait()
        with tracing.span("cart/GetCarts"):
            return items

    return Batcher("cart.GetCarts", send, metrics)


async def ask_together(batcher: Batcher, gate: asyncio.Event, requests: list[call.Call]) -> None:
    """Have requests ride in one batch: the first opens it, and the others come before it goes."""

    async def one(number, request):
        with call.within(request):
            return await batcher.ask(number)

    gate.set()
    assert await asyncio.gather(*(one(*pair) for pair in enumerate(requests))) == list(range(len(requests)))


async def test_a_lone_request_has_its_call_below_it(exported):
    """What one request asks for alone is one line of spans: what it waits for, and the call."""
    gate = asyncio.Event()
    await ask_together(echo(Metrics(), gate), gate, [asked(1, sampled=True)])
    sent, ride = exported
    assert (ride.name, sent.name) == ("cart.GetCarts", "cart/GetCarts")
    assert sent.parent_id == ride.span_id


async def test_a_batch_links_to_its_riders(exported):
    """A batch of several has a span below the first that is sampled, with links to the other sampled ones; each has its ride."""
    gate = asyncio.Event()
    requests = [asked(number, sampled=number in {2, 3, 5}) for number in range(1, 7)]
    await ask_together(echo(Metrics(), gate), gate, requests)
    sent, batch, *rides = exported
    assert [int(one.trace_id, 16) for one in rides] == [2, 3, 5]
    assert {one.name for one in rides} == {"cart.GetCarts"}
    assert (batch.trace_id, batch.parent_id) == (rides[0].trace_id, rides[0].span_id)
    assert list(batch.links) == [one.traceparent for one in rides[1:]]
    assert batch.attributes["cartwright.batch.size"] == 6
    assert sent.parent_id == batch.span_id


async def test_a_late_kept_rider_shows_its_batch(exported):
    """A request that is kept late has the batch it rode in: its own, or a ride that links to the trace which has it."""
    gate = asyncio.Event()
    requests = [asked(number, sampled=False) for number in (1, 2)]
    await ask_together(echo(Metrics(), gate), gate, requests)
    assert exported == []
    for position in (1, 0):
        facts = {"name": "GET", "parent_id": "", "seconds": 0.1, "error": f"50{position}", "attributes": {}}
        tracing.recorder().leave(requests[position], **facts)
    root, ride, batch, sent, other = exported
    assert names(exported) == ["GET", "cart.GetCarts", "cart.GetCarts", "cart/GetCarts", "GET"]
    assert (ride.parent_id, list(ride.links)) == (root.span_id, [batch.traceparent])
    assert (batch.parent_id, batch.trace_id) == (other.span_id, other.trace_id)
    assert sent.parent_id == batch.span_id


async def test_a_call_that_outlasts_its_request_is_kept_with_it(exported):
    """A request that is kept since nobody answered in time has the call that it waited for, as soon as that ends."""
    gate, now = asyncio.Event(), asked(1, sampled=False)

    async def send(items):
        with tracing.span("cart/GetCarts"):
            await gate.wait()
        return items

    with call.within(now):
        waiting = asyncio.create_task(Batcher("cart.GetCarts", send, Metrics()).ask(1))
        await asyncio.sleep(0)
    facts = {"name": "GET", "parent_id": "", "seconds": 4.8, "error": "503", "attributes": {}}
    tracing.recorder().leave(now, **facts)
    assert names(exported) == ["GET"]
    gate.set()
    await waiting
    assert names(exported) == ["GET", "cart/GetCarts"]


async def test_what_is_dropped_leaves_no_cycles(exported):
    """What is recorded of a request that is not sampled is freed with it, without the garbage collector, which would cost more."""
    gate = asyncio.Event()
    await ask_together(echo(Metrics(), gate), gate, [asked(number, sampled=False) for number in (1, 2)])
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            requests = [asked(number, sampled=False) for number in (1, 2, 3)]
            await ask_together(echo(Metrics(), gate), gate, requests)
            with call.within(requests[0]), tracing.root("saga"), tracing.span("saga.reserve"), tracing.span("SELECT x"):
                pass
            del requests
        alive = sum(isinstance(one, tracing.Span) for one in gc.get_objects())
    finally:
        gc.enable()
    assert alive < 10


async def test_messages_of_several_traces_are_applied_under_each(exported):
    """Of a batch of messages each sampled one has a span below its publication, and the batch one that links to them."""
    texts = [TRACE.format(f"{number:032x}", flag) for number, flag in ((1, "00"), (2, "01"), (3, "01"))]
    requests = [call.incoming("r", text, seconds=None) for text in texts]
    with process("checkout-events", requests, 0):
        assert call.current().trace_id == requests[1].trace_id
    batch, first, second = exported
    assert (first.name, first.kind, first.parent_id) == (
        "process checkout-events",
        tracing.Kind.CONSUMER,
        "00000000000000aa",
    )
    assert batch.parent_id == first.span_id
    assert list(batch.links) == [second.traceparent]
    exported.clear()
    with pytest.raises(ZeroDivisionError), process("checkout-events", requests[:1], 0):
        raise ZeroDivisionError
    assert names(exported) == ["process checkout-events"]


async def test_a_statement_outside_of_a_request_is_not_recorded(exported):
    """What a loop of a worker asks the database belongs to no trace."""
    with pytest.raises(AssertionError):
        await Postgres("postgresql://nowhere", role="r", schema="s").fetch("SELECT 1")
    assert exported == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT id FROM payments WHERE id = $1", "SELECT payments"),
        ("SELECT * FROM claim_carts($1, $2)", "SELECT claim_carts"),
        ("UPDATE outbox_leader SET x = 1", "UPDATE outbox_leader"),
        ("SELECT 1", "SELECT"),
        (
            """WITH a AS (SELECT 1 FROM unnest($1::int[])), b AS (UPDATE t SET x = 1 FROM a RETURNING 1),
            c AS (INSERT INTO u SELECT 1 FROM b) SELECT 1 FROM b""",
            "UPDATE t, INSERT u",
        ),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET x = 1", "INSERT t"),
        ("WITH a AS (SELECT 1 FROM t FOR UPDATE OF t) SELECT 1 FROM a", "SELECT t"),
    ],
)
def test_a_statement_is_summed_up(sql, said):
    """The name of a statement's span says what it writes, or else what it reads, and has no value in it."""
    assert summary(sql) == said
