"""Unexpected failures: each fails alone, is told to nobody, is reported once, and is no outage."""
# ruff: noqa: N802 - methods have the names of the proto

import asyncio
from contextlib import AsyncExitStack
from types import SimpleNamespace

import grpc
import pytest
from structlog.testing import CapturingLogger

from services.chassis.batched_request import batch
from services.chassis.client import Endpoint, outcomes
from services.chassis.faults import OUTAGE, fault_in, refuse, status_of
from services.chassis.resilience import Retrier
from services.chassis.rpc import Server
from services.chassis.telemetry import Metrics
from services.errors import Conflict, Fault, InternalError, Invalid, NotFound, OutcomeUnknown, Transient, Unavailable
from services.pb import call_pb2, checkout_pb2_grpc, product_pb2_grpc
from services.pb import checkout_pb2 as checkout
from services.pb import product_pb2 as pb

MANY = 40  # more than the calls at which a breaker opens
Code = grpc.StatusCode
MEANING = {
    Code.INVALID_ARGUMENT: Invalid,
    Code.NOT_FOUND: NotFound,
    Code.FAILED_PRECONDITION: Conflict,
    Code.RESOURCE_EXHAUSTED: Unavailable,
    Code.UNAVAILABLE: OutcomeUnknown,
    Code.DEADLINE_EXCEEDED: OutcomeUnknown,
    Code.CANCELLED: OutcomeUnknown,
    Code.ABORTED: OutcomeUnknown,
} | dict.fromkeys(
    [
        Code.INTERNAL,
        Code.UNKNOWN,
        Code.DATA_LOSS,
        Code.UNIMPLEMENTED,
        Code.OUT_OF_RANGE,
        Code.ALREADY_EXISTS,
        Code.PERMISSION_DENIED,
        Code.UNAUTHENTICATED,
    ],
    InternalError,
)


class Service(product_pb2_grpc.ProductServiceServicer, checkout_pb2_grpc.CheckoutServiceServicer):
    """Does what the test sets it to."""

    def __init__(self):
        self.do = None
        self.asked = 0

    async def ListProducts(self, request, context):
        self.asked += 1
        return await self.do(context)

    async def GetProducts(self, request, context):
        results = await batch(request.items, parse=self.parse, act=self.act, render=self.render, refused=refused)
        return pb.GetProductsResponse(results=results)

    async def WatchCheckouts(self, request, context):
        yield checkout.WatchCheckoutsResponse()
        raise self.do


def refused():
    """Give an empty result."""
    return pb.GetProductResult()


@pytest.fixture
async def part():
    """A service, the server before it with its log and metrics, and a caller with a breaker."""
    log, metrics, service = CapturingLogger(), Metrics(), Service()
    async with AsyncExitStack() as stack:
        server = Server(log, metrics, reflect=False)
        register = {
            "p": lambda it: product_pb2_grpc.add_ProductServiceServicer_to_server(service, it),
            "c": lambda it: checkout_pb2_grpc.add_CheckoutServiceServicer_to_server(service, it),
        }
        port = await server.start("127.0.0.1:0", register)
        stack.push_async_callback(server.stop, 0)
        end = await stack.enter_async_context(Endpoint("part", f"127.0.0.1:{port}", Metrics()))
        stub = product_pb2_grpc.ProductServiceStub(end.channel)

        def reported():
            return [call for call in log.calls if call.method_name == "error"]

        yield SimpleNamespace(
            service=service,
            end=end,
            stub=stub,
            metrics=metrics,
            reported=reported,
            ask=lambda: end.send(stub.ListProducts, pb.ListProductsRequest(), within=5),
        )


def abort(code):
    """Give a handler that ends with a status."""

    async def do(context):
        await context.abort(code, "details")

    return do


async def fine(context):
    """Answer."""
    return pb.ListProductsResponse()


async def broken(context):
    """Fail unexpectedly."""
    raise ZeroDivisionError("secret")


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
async def test_what_a_status_means(part, code):
    """Each status code is one fault; only those that say that a service is away or overloaded open its breaker."""
    server = grpc.aio.server()  # a bare one: aborts as they come
    product_pb2_grpc.add_ProductServiceServicer_to_server(part.service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    part.service.do = abort(code)
    async with Endpoint("bare", f"127.0.0.1:{port}", Metrics()) as end:
        stub = product_pb2_grpc.ProductServiceStub(end.channel)
        for _ in range(20):
            with pytest.raises(Fault) as caught:
                await end.send(stub.ListProducts, pb.ListProductsRequest(), within=5)
            assert type(caught.value) is MEANING[code]
        assert end.breaker.is_open == (code in OUTAGE)
        assert {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED} == OUTAGE
    await server.stop(0)


@pytest.mark.parametrize("fault", [Invalid, NotFound, Conflict, Unavailable, OutcomeUnknown])
def test_a_fault_keeps_its_kind_in_a_refusal(fault):
    """The refusal of an item is read as the fault that it was written from; an unknown code is an InternalError."""
    refusal = call_pb2.Refusal()
    refuse(refusal, fault("why"))
    assert (type(fault_in(refusal)), str(fault_in(refusal))) == (fault, "why")
    for code in (13, 2, 12, 15, 99):
        assert type(fault_in(call_pb2.Refusal(code=code))) is InternalError


def test_a_bare_fault_has_a_status():
    """A fault without a kind of its own travels too: a transient one leaves the outcome open."""
    assert status_of(Transient("x")) is Code.DEADLINE_EXCEEDED
    assert status_of(Fault("x")) is Code.INTERNAL


async def test_an_unexpected_failure_is_reported_once_and_told_to_nobody(part):
    """The caller hears of an internal error; the log has its traceback once, and it is counted by its method."""
    part.service.do = broken
    with pytest.raises(InternalError, match=r"^internal error$"):
        await part.ask()
    [line] = part.reported()
    assert isinstance(line.kwargs["exc_info"], ZeroDivisionError)
    where = {"where": "/cartwright.product.ProductService/ListProducts"}
    assert part.metrics.registry.get_sample_value("cartwright_internal_errors_total", where) == 1


async def test_an_unexpected_failure_is_not_repeated_and_opens_no_breaker(part):
    """However often a request fails unexpectedly, it is sent once each time, and the next request is answered."""
    part.service.do, retry = broken, Retrier("part", Metrics())
    for _ in range(MANY):
        with pytest.raises(InternalError):
            await retry(part.ask)
    assert part.service.asked == MANY
    part.service.do = fine
    await part.ask()


async def test_a_handler_that_fails_after_its_caller_has_gone_is_reported(part):
    """A handler goes on when its caller gives up; what it then fails with is in the log with its traceback."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def late(context):
        began.set()
        await go_on.wait()
        raise ZeroDivisionError

    part.service.do = late
    call = part.stub.ListProducts(pb.ListProductsRequest())
    asked = asyncio.ensure_future(call)
    await began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    go_on.set()
    while not part.reported():  # noqa: ASYNC110 - a log, which tells nobody; the test's own deadline bounds it
        await asyncio.sleep(0.01)


async def test_a_cancelled_call_says_nothing_about_the_part(part):
    """Calls that their callers give up move no breaker, and one that was the probe leaves room for the next probe."""

    async def slow(context):
        await asyncio.Event().wait()

    part.service.do = fine
    await part.ask()
    part.service.do = slow
    for _ in range(MANY):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await part.ask()
    assert not part.end.breaker.is_open
    part.end.breaker._opened_at = -60.0  # seconds: long enough ago for a probe
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.005):
            await part.ask()
    part.service.do = fine
    await part.ask()
    assert not part.end.breaker.is_open


@pytest.mark.parametrize("place", ["parse", "act", "act on all", "outcome", "render"])
async def test_one_item_that_fails_unexpectedly_fails_alone(part, place):
    """Whatever fails for one item of a batch, its neighbours have their results, and it is reported once."""

    def bad(here, value):
        if here == place and value == 2:
            raise ZeroDivisionError
        return value

    async def act(values):
        if place == "act on all" and len(values) > 1:
            bad(place, 2 if 2 in values else 0)
        if place == "outcome":
            return [ZeroDivisionError() if value == 2 else value for value in values]
        return [bad("act" if place == "act" else "act on all", value) for value in values]

    part.service.parse = lambda item: bad("parse", item.product_id)
    part.service.act = act
    part.service.render = lambda value: pb.GetProductResult(product=pb.Product(id=bad("render", value)))
    request = pb.GetProductsRequest(items=[pb.GetProduct(product_id=number) for number in (1, 2, 3)])
    reply = await part.end.send(part.stub.GetProducts, request, within=5)
    one, two, three = outcomes(reply.results, lambda result: result.product.id, expected=3)
    assert (one, type(two), three) == (1, InternalError, 3)
    assert len(part.reported()) == 1


async def test_a_part_that_is_away_fails_the_whole_batch(part):
    """A fault of all items at once stays one: it is not taken for that of each item, and nothing is done twice."""
    calls = []

    async def act(values):
        calls.append(values)
        raise Unavailable("away")

    part.service.parse, part.service.act, part.service.render = (lambda item: item.product_id), act, None
    request = pb.GetProductsRequest(items=[pb.GetProduct(product_id=number) for number in (1, 2)])
    with pytest.raises(Transient):
        await part.end.send(part.stub.GetProducts, request, within=5)
    assert calls == [[1, 2]]
    assert not part.reported()


@pytest.mark.parametrize(
    ("error", "code"), [(ZeroDivisionError("secret"), Code.INTERNAL), (NotFound("x"), Code.NOT_FOUND)]
)
async def test_a_stream_ends_with_a_status(part, error, code):
    """A stream that fails says as little as a call does: a status, and nothing internal."""
    part.service.do = error
    stub = checkout_pb2_grpc.CheckoutServiceStub(part.end.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.WatchCheckouts(checkout.WatchCheckoutsRequest()):
            pass
    assert caught.value.code() is code
    assert "secret" not in str(caught.value.details())
    assert len(part.reported()) == (code is Code.INTERNAL)


def test_a_reply_of_another_length_is_an_internal_error():
    """A reply with too few or too many results decides nothing, and is not asked for again at once."""
    with pytest.raises(InternalError):
        outcomes([pb.GetProductResult()], lambda result: result, expected=2)
