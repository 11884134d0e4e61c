"""Calls over streams that stay open keep what unary calls promise."""

import asyncio
import gc
from collections import Counter

import grpc
import pytest
import structlog
from google.protobuf.message_factory import GetMessageClass

from services.chassis import call, call_streams, rpc, served_streams
from services.chassis.client import Endpoint
from services.chassis.rpc import Server
from services.chassis.telemetry import Metrics
from services.errors import NotFound, OutcomeUnknown, Unavailable
from services.pb import (
    bank_pb2,
    cart_pb2,
    checkout_pb2,
    inventory_pb2,
    orders_pb2,
    payment_pb2,
    product_pb2,
    product_pb2_grpc,
)
from services.pb import product_pb2 as pb


class Catalogue(product_pb2_grpc.ProductServiceServicer):
    """Answers with what was asked for: each product id is an item of the request, and stands for what is to happen."""

    def __init__(self):
        self.asked = Counter()
        self.calls = []
        self.streams = Counter()
        self.go_on = asyncio.Event()

    async def GetProducts(self, request, context):  # noqa: N802 - the proto's name
        """Answer, wait or fail."""
        (product_id,) = (item.product_id for item in request.items)
        self.asked[product_id] += 1
        self.streams[context] += 1
        now = call.current()
        self.calls.append((now.request_id, now.traceparent, now.remaining()))
        if product_id >= SLOW:
            await self.go_on.wait()
        if product_id == MISSING:
            raise NotFound("no such product")
        return pb.GetProductsResponse(results=[pb.GetProductResult(product=pb.Product(id=product_id))])


MISSING = 0
SLOW = 10**9


class Shop:
    """A caller of a catalogue."""

    def __init__(self, end, catalogue, server):
        self.end, self.catalogue, self.server = end, catalogue, server
        self.stub = product_pb2_grpc.ProductServiceStub(end.channel)

    @property
    def streams(self):
        return self.stub.GetProductsStream

    @property
    def opened(self):
        """How many streams, or unary calls, have reached the server."""
        return len(self.catalogue.streams)

    async def ask(self, product_id, within=5.0):
        request = pb.GetProductsRequest(items=[pb.GetProduct(product_id=product_id)])
        reply = await self.end.send(self.stub.GetProducts, request, within=within)
        return reply.results[0].product.id

    async def until_asked(self, product_id):
        async with asyncio.timeout(10):
            while product_id not in self.catalogue.asked:  # noqa: ASYNC110 - a condition of another task
                await asyncio.sleep(0.001)

    async def until_more_are_asked(self, more):
        most = self.catalogue.asked.total() + more
        async with asyncio.timeout(10):
            while self.catalogue.asked.total() < most:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def serve(catalogue, port=0):
    server = Server(structlog.get_logger(), Metrics(), reflect=False)
    register = {"p": lambda s: product_pb2_grpc.add_ProductServiceServicer_to_server(catalogue, s)}
    return server, await server.start(f"127.0.0.1:{port}", register)


@pytest.fixture
async def shop(monkeypatch):
    """A caller and a server, which has no stream yet. No stream grows old on a busy machine."""
    monkeypatch.setattr(call_streams, "STREAM_SECONDS", 60.0)
    catalogue = Catalogue()
    server, port = await serve(catalogue)
    async with Endpoint("product", f"127.0.0.1:{port}", Metrics()) as end:
        yield Shop(end, catalogue, server)
    catalogue.go_on.set()
    await server.stop(0)


STREAMED = [
    (service, method)
    for file in (bank_pb2, cart_pb2, checkout_pb2, inventory_pb2, orders_pb2, payment_pb2, product_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if method.client_streaming
]


@pytest.mark.parametrize(("service", "method"), STREAMED, ids=[method.full_name for _, method in STREAMED])
def test_a_method_for_streams_has_what_its_calls_need(service, method):
    """It has the messages of the unary method, room for the call in its request, and the field that says that a server stops."""
    unary = service.methods_by_name[method.name.removesuffix(call_streams.SUFFIX)]
    assert (unary.input_type, unary.output_type) == (method.input_type, method.output_type)
    assert method.input_type.fields_by_name["call"].message_type.full_name == "cartwright.Call"
    assert GetMessageClass(method.output_type).FromString(served_streams.LEAVING).leaving


async def test_calls_share_streams(shop):
    """Calls that follow one another go over a few streams, and each gets its own answer."""
    assert [await shop.ask(number) for number in range(1, 51)] == list(range(1, 51))
    assert shop.opened == call_streams.LEAST_STREAMS


async def test_a_slow_call_holds_up_nobody(shop):
    """Calls at once have a stream each, and only so many streams are kept afterwards."""
    slow = [asyncio.create_task(shop.ask(SLOW + number)) for number in range(call_streams.MOST_FREE + 6)]
    await shop.until_asked(SLOW + call_streams.MOST_FREE + 5)
    assert await shop.ask(1) == 1
    shop.catalogue.go_on.set()
    assert await asyncio.gather(*slow) == list(range(SLOW, SLOW + call_streams.MOST_FREE + 6))
    assert len(shop.streams._free) == shop.streams._count == call_streams.MOST_FREE


async def test_a_stream_is_replaced_after_some_calls_and_some_time(shop, monkeypatch):
    """No stream carries more than STREAM_CALLS calls, nor any once it is STREAM_SECONDS old, and no call fails for it."""
    for _ in range(5 * call_streams.STREAM_CALLS):
        await shop.ask(1)
    assert max(shop.catalogue.streams.values()) == call_streams.STREAM_CALLS
    before = shop.opened
    monkeypatch.setattr(call_streams, "STREAM_SECONDS", 0.0)
    for _ in range(10):
        await shop.ask(1)
    assert shop.opened >= before + 10


async def test_what_travels_with_a_call(shop):
    """The request id, the trace and the time left are those of the call, not of the one that opened the stream."""
    for number in range(1, 2 * call_streams.LEAST_STREAMS):
        trace = f"00-{number:032x}-{number:016x}-00"
        with call.within(call.incoming(f"request-{number}", trace, seconds=number * 10)):
            await shop.ask(1, within=100)
        request_id, traceparent, left = shop.catalogue.calls[-1]
        assert (request_id, traceparent) == (f"request-{number}", trace)
        assert number * 10 - 9 < left <= number * 10


async def test_a_failed_call_fails_alone(shop):
    """A call is refused with its own fault, and those before, beside and after it are answered."""
    waiting = asyncio.create_task(shop.ask(SLOW))
    await shop.until_asked(SLOW)
    for _ in range(2 * call_streams.LEAST_STREAMS):
        with pytest.raises(NotFound, match="no such product"):
            await shop.ask(MISSING)
        assert await shop.ask(1) == 1
    shop.catalogue.go_on.set()
    assert await waiting == SLOW


async def test_a_malformed_request_is_the_callers_fault(shop):
    """Bytes that are no message are refused as invalid, as in a unary call."""
    path = "/cartwright.product.ProductService/GetProductsStream"
    stream = shop.end.channel.current.stream_stream(path)()
    await stream.write(b"\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stream.read()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_call_without_an_answer_is_unknown_and_goes_on(shop):
    """After its time a call's outcome is unknown; the work at the server goes on, and the next call is answered."""
    with pytest.raises(OutcomeUnknown):
        await shop.ask(SLOW, within=0.05)
    shop.catalogue.go_on.set()
    assert [await shop.ask(number) for number in (1, 2, 3)] == [1, 2, 3]
    assert shop.catalogue.asked[SLOW] == 1


async def test_the_answer_to_a_caller_who_left_is_given_to_nobody_else(shop):
    """A caller that is cancelled takes its stream along: the next call does not read its answer."""
    for number in range(SLOW, SLOW + 6):
        leaving = asyncio.create_task(shop.ask(number))
        await shop.until_asked(number)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    shop.catalogue.go_on.set()
    assert [await shop.ask(number) for number in range(1, 20)] == list(range(1, 20))


async def test_a_lost_connection_leaves_the_outcome_open(shop):
    """A call whose stream is cut after it was sent may have been done."""
    for number in range(1, 10):
        await shop.ask(number)
    cut = asyncio.create_task(shop.ask(SLOW))
    await shop.until_asked(SLOW)
    await shop.server.stop(0)
    with pytest.raises(OutcomeUnknown):
        await cut
    assert (len(shop.streams._free), shop.streams._count) == (0, 0)


async def test_a_call_without_time_left_is_not_sent(shop):
    """A call whose time is over is not done by a server that would answer nobody."""
    for _ in range(call_streams.LEAST_STREAMS):
        await shop.ask(2)
    for _ in range(10):
        with pytest.raises(OutcomeUnknown):
            await shop.ask(1, within=-0.05)
    assert await shop.ask(3) == 3
    assert set(shop.catalogue.asked) == {2, 3}


async def test_who_leaves_at_any_moment_leaves_no_error_behind(shop):
    """A caller may be cancelled before, during and after its request is written; nothing is logged that nobody can act on."""
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: failures.append(facts))
    for turns in range(30):
        leaving = asyncio.create_task(shop.ask(SLOW + turns))
        for _ in range(turns):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
    del leaving
    gc.collect()
    assert [await shop.ask(number) for number in range(1, 20)] == list(range(1, 20))
    assert failures == []


async def test_a_caller_who_falls_quiet_keeps_no_streams(shop, monkeypatch):
    """Streams that nobody uses are ended on both sides, so that they fill no server."""
    monkeypatch.setattr(call_streams, "STREAM_SECONDS", 0.1)
    monkeypatch.setattr(call_streams, "MOST_FREE", 8)
    await asyncio.gather(*(shop.ask(number) for number in range(1, 20)))
    assert shop.streams._free
    async with asyncio.timeout(10):
        while shop.streams._free or shop.server._streams._open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert shop.streams._count == 0
    assert await shop.ask(1) == 1


async def test_calls_under_way_are_bounded_and_open_streams_are_not_counted(shop, monkeypatch):
    """Past MAX_UNDER_WAY calls one is refused unseen, over a stream too; streams that carry nothing take no place."""
    monkeypatch.setattr(rpc, "MAX_UNDER_WAY", 3)
    await asyncio.gather(*(shop.ask(1) for _ in range(3)))
    assert len(shop.streams._free) == 3
    slow = [asyncio.create_task(shop.ask(SLOW + number)) for number in range(3)]
    for number in range(3):
        await shop.until_asked(SLOW + number)
    with pytest.raises(Unavailable, match="overloaded"):
        await shop.ask(2)
    assert 2 not in shop.catalogue.asked
    shop.catalogue.go_on.set()
    assert await asyncio.gather(*slow) == [SLOW, SLOW + 1, SLOW + 2]


async def test_replicas_that_stop_answer_every_call_once():
    """While replicas stop and come back, each call is answered, by one of them."""
    catalogue, numbers, enough = Catalogue(), iter(range(1, SLOW)), asyncio.Event()
    replicas = [await serve(catalogue) for _ in range(2)]
    address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for _, port in replicas)
    async with Endpoint("product", address, Metrics()) as end:
        shop = Shop(end, catalogue, None)

        async def call_again_and_again():
            while not enough.is_set():
                number = next(numbers)
                assert await shop.ask(number) == number

        async with asyncio.TaskGroup() as callers:  # a call that fails ends the test
            for _ in range(5):
                callers.create_task(call_again_and_again())
            for turn in range(10):
                server, port = replicas[turn % 2]
                await shop.until_more_are_asked(200)
                async with asyncio.timeout(5):  # streams that carry nothing do not hold it up
                    await server.stop(60)
                replicas[turn % 2] = await serve(catalogue, port)
            enough.set()
    assert set(catalogue.asked.values()) == {1}
    for server, _ in replicas:
        await server.stop(0)


class Before(grpc.aio.ServerInterceptor):
    """Makes a server one of the release before, which has no streams; counts what is asked of it."""

    def __init__(self):
        self.asked = Counter()

    async def intercept_service(self, continuation, details):
        """Refuse streams."""
        self.asked[details.method.rpartition("/")[2]] += 1
        return None if details.method.endswith("Stream") else await continuation(details)


class Beyond(Before):
    """Makes a server one of somebody else, which sends its headers with its first answer."""

    async def intercept_service(self, continuation, details):
        """Serve streams in its own way."""
        handler = await super().intercept_service(continuation, details)

        async def wait(requests, context):
            async for _ in requests:
                self.asked["requests over streams"] += 1

        return handler or grpc.stream_stream_rpc_method_handler(wait)


@pytest.mark.parametrize("kind", [Before, Beyond])
async def test_a_service_without_streams_is_called_as_before(monkeypatch, kind):
    """A server that has no streams of this kind gets unary calls, and is asked for streams again only later."""
    monkeypatch.setattr(call_streams, "OPEN_SECONDS", 0.2)
    catalogue, interceptor = Catalogue(), kind()
    server = grpc.aio.server(interceptors=(interceptor,))
    product_pb2_grpc.add_ProductServiceServicer_to_server(catalogue, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Endpoint("product", f"127.0.0.1:{port}", Metrics()) as end:
        shop = Shop(end, catalogue, server)
        assert [await shop.ask(number) for number in range(1, 11)] == list(range(1, 11))
        assert interceptor.asked == {"GetProducts": 10, "GetProductsStream": 1}
        monkeypatch.setattr(shop.streams, "_absent_until", 0.0)
        await shop.ask(1)
        assert interceptor.asked["GetProductsStream"] == 2
    await server.stop(0)
