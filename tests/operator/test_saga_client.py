"""What the checkout service's answers mean to the operator; a server of its proto stands in for the service."""

import asyncio
import struct

import grpc
import pytest

from checkout_operator import saga_client as module
from checkout_operator.saga_client import KeyReused, SagaClient, SagaUnavailable, SpecRefused
from checkout_operator.spec import CheckoutSpec, Resource
from services.pb import call_pb2, checkout_pb2_grpc
from services.pb import checkout_pb2 as pb


class Service(checkout_pb2_grpc.CheckoutServiceServicer):
    """Answers as a test sets it, and records the requests."""

    def __init__(self):
        self.refusals, self.asked, self.calls = {}, [], []

    def _answer(self, item, kind, checkout):
        self.asked.append(item)
        if code := self.refusals.get(item.idempotency_key):
            return kind(refusal=call_pb2.Refusal(code=code.value[0], message="no"))
        return checkout(pb.Checkout(id=item.idempotency_key, origin=pb.RESOURCE))

    async def StartCheckouts(self, request, context):  # noqa: N802 - the proto's name
        self.calls.append("StartCheckouts")

        def made(one):
            return pb.StartCheckoutResult(answer=pb.Answer(checkout=one))

        return pb.StartCheckoutsResponse(
            results=[self._answer(one, pb.StartCheckoutResult, made) for one in request.items]
        )

    async def CancelCheckouts(self, request, context):  # noqa: N802 - the proto's name
        self.calls.append("CancelCheckouts")

        def made(one):
            return pb.CancelCheckoutResult(checkout=one)

        return pb.CancelCheckoutsResponse(
            results=[self._answer(one, pb.CancelCheckoutResult, made) for one in request.items]
        )

    async def GetCheckouts(self, request, context):  # noqa: N802 - the proto's name
        def made(one):
            return pb.GetCheckoutResult(checkout=one)

        return pb.GetCheckoutsResponse(results=[self._answer(one, pb.GetCheckoutResult, made) for one in request.items])

    async def ListCheckouts(self, request, context):  # noqa: N802 - the proto's name
        ids, next_cursor = self.pages[request.cursor]
        return pb.ListCheckoutsResponse(checkouts=[pb.Checkout(id=one) for one in ids], next_cursor=next_cursor)

    async def WatchCheckouts(self, request, context):  # noqa: N802 - the proto's name
        yield pb.WatchCheckoutsResponse(checkouts=[pb.Checkout(id="a"), pb.Checkout(id="b")])
        if self.stays:
            await asyncio.Event().wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "going")


@pytest.fixture
def service():
    """The service."""
    return Service()


@pytest.fixture
async def port(service):
    """The port that it listens on."""
    server = grpc.aio.server()
    checkout_pb2_grpc.add_CheckoutServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


@pytest.fixture
async def client(port):
    """A client of it."""
    client = SagaClient(f"127.0.0.1:{port}")
    yield client
    await client.close()


class Names(asyncio.DatagramProtocol):
    """A name server that knows no address, or that of this machine for every name."""

    QUERY = struct.Struct(">HHHHHH")

    def __init__(self):
        self.known = False

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        end = data.index(b"\0", self.QUERY.size) + 5
        asked, (kind,) = data[self.QUERY.size : end], struct.unpack(">H", data[end - 4 : end - 2])
        found = struct.pack(">HHHIH4B", 0xC00C, 1, 1, 1, 4, 127, 0, 0, 1) if self.known and kind == 1 else b""
        flags = 0x8180 if self.known else 0x8183  # no error, or no such name
        head = self.QUERY.pack(self.QUERY.unpack_from(data)[0], flags, 1, bool(found), 0, 0)
        self.transport.sendto(head + asked + found, address)


@pytest.fixture
async def names():
    """The name server, and its port."""
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    yield names, transport.get_extra_info("sockname")[1]
    transport.close()


def resource(key, mirror_of=None):
    """A resource with this key."""
    spec = CheckoutSpec(7, ((2, 1),), key, 30, 300, cancel=False, mirror_of=mirror_of)
    return Resource(f"r-{key}", "default", f"u-{key}", 1, "2026-01-01T00:00:00Z", spec)


async def test_what_is_asked_for(client, service):
    """All that a resource asks for goes along, to be started and to be cancelled."""
    assert [one.id for one in await client.start([resource("k")])] == ["k"]
    assert [one.id for one in await client.cancel([resource("k")])] == ["k"]
    start, cancel = service.asked
    assert start.timeout_seconds == 30
    for item in (start, cancel):
        assert (item.user_id, item.origin, item.idempotency_key) == (7, pb.RESOURCE, "k")
        assert [(one.product_id, one.quantity) for one in item.items] == [(2, 1)]
        assert (item.resource.uid, item.resource.namespace, item.resource.name) == ("u-k", "default", "r-k")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, KeyReused),
        (grpc.StatusCode.INVALID_ARGUMENT, SpecRefused),
        (grpc.StatusCode.UNAVAILABLE, SagaUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, SagaUnavailable),
    ],
)
async def test_refusals(client, service, code, error):
    """A key of other items is distinguished from what may be tried again, and is refused alone."""
    service.refusals["k"] = code
    for call in (client.start, client.cancel):
        first, refused, last = await call([resource("a"), resource("k"), resource("b")])
        assert (first.id, type(refused), last.id) == ("a", error, "b")


async def test_many_start_in_one_call(client, service):
    """However many resources are started or cancelled together, that is one call, and each outcome is at its place."""
    keys = [f"k{number}" for number in range(50)]
    for call in (client.start, client.cancel):
        assert [one.id for one in await call([resource(key) for key in keys])] == keys
    assert service.calls == ["StartCheckouts", "CancelCheckouts"]


async def test_many_are_looked_up(client, service):
    """However many there are, each gets its own; one that has none, or can have none, stops no other."""
    service.refusals |= {"k1": grpc.StatusCode.NOT_FOUND, "k2": grpc.StatusCode.INVALID_ARGUMENT}
    views = await client.get_for([resource(f"k{number}") for number in range(50)])
    assert [view and view.id for view in views] == ["k0", None, None, *(f"k{number}" for number in range(3, 50))]
    service.refusals["k3"] = grpc.StatusCode.UNAVAILABLE
    failed, other = await client.get_for([resource("k3"), resource("k4")])
    assert (type(failed), other.id) == (SagaUnavailable, "k4")
    await client.get_for([resource("any", mirror_of="c1")])
    assert (service.asked[-1].checkout_id, service.asked[-1].idempotency_key) == ("c1", "")


async def test_a_list_has_pages(client, service):
    """A list is read page by page; a service that knows no pages gives the only one."""
    service.pages = {"": (["a", "b"], "b"), "b": (["c"], None)}
    first = await client.list_rest(30)
    last = await client.list_rest(30, first.next_cursor)
    assert ([one.id for one in first.views], first.next_cursor) == (["a", "b"], "b")
    assert ([one.id for one in last.views], last.next_cursor) == (["c"], None)


async def test_a_stream_that_breaks(client):
    """What came before the stream broke is given, and that it broke is said."""
    stream = client.follow()
    assert [(await anext(stream)).id, (await anext(stream)).id] == ["a", "b"]
    with pytest.raises(SagaUnavailable):
        await anext(stream)


async def test_nobody_there():
    """A service that is away may be asked again."""
    client = SagaClient("127.0.0.1:1")
    with pytest.raises(SagaUnavailable):
        await client.list_rest(30)
    with pytest.raises(SagaUnavailable):
        await client.start([resource("k")])
    await client.close()


async def test_a_name_without_addresses(port, names, monkeypatch):
    """A service that had no ready pod is reached by the first call after it has one, however long it had none."""
    monkeypatch.setattr(module, "REPLACE_SECONDS", 0)
    server, names_port = names
    client = SagaClient(f"dns://127.0.0.1:{names_port}/checkout.test:{port}")
    with pytest.raises(SagaUnavailable, match=r"checkout\.test"):
        await client.start([resource("k")])
    server.known = True
    assert [one.id for one in await client.start([resource("k")])] == ["k"]
    await client.close()


async def test_channels_are_not_replaced_all_the_time(names):
    """Calls that fail in quick succession share a channel: each channel asks the name server anew."""
    client = SagaClient(f"dns://127.0.0.1:{names[1]}/checkout.test:1")
    channel = client._channel
    for _ in range(3):
        with pytest.raises(SagaUnavailable):
            await client.start([resource("k")])
    assert client._channel is channel
    await client.close()


async def test_a_stream_on_a_channel_that_is_replaced(client, service, monkeypatch):
    """The stream of a channel that is replaced breaks like any other, and the task that reads it goes on."""
    service.stays = True
    stream = client.follow()
    assert [(await anext(stream)).id, (await anext(stream)).id] == ["a", "b"]
    monkeypatch.setattr(module, "REPLACE_SECONDS", 0)
    monkeypatch.setattr(module, "CALL_SECONDS", 0.01)
    monkeypatch.setattr(client._channel, "get_state", lambda: grpc.ChannelConnectivity.TRANSIENT_FAILURE)
    client._replace_channel()
    with pytest.raises(SagaUnavailable, match="replaced"):
        await anext(stream)
    monkeypatch.undo()
    assert (await anext(client.follow())).id == "a"


async def test_a_task_that_is_cancelled(client, service):
    """Whoever cancels a task that waits for a change ends it: that is no fault of the service."""
    service.stays = True

    async def read():
        async for _ in client.follow():
            began.set()

    began = asyncio.Event()
    reading = asyncio.create_task(read())
    await began.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
