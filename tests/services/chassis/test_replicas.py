"""Replicas share the load, and old connections are renewed without a failed call."""

import asyncio
import socket
import struct
from collections import Counter
from contextlib import AsyncExitStack

import grpc
import pytest
import structlog

from services.chassis import call, call_streams, client
from services.chassis.client import Endpoint
from services.chassis.env import Settings
from services.chassis.rpc import Server
from services.chassis.telemetry import Metrics
from services.errors import Unavailable
from services.pb import product_pb2 as pb
from services.pb import product_pb2_grpc


class Replica(product_pb2_grpc.ProductServiceServicer):
    """Counts the connections and the calls that reach it."""

    def __init__(self):
        self.peers = Counter()

    async def ListProducts(self, request, context):  # noqa: N802 - the proto's name
        """Answer with nothing."""
        self.peers[context.peer()] += 1
        return pb.ListProductsResponse()


@pytest.fixture
async def replicas():
    """Give what starts replicas and calls all of them through one endpoint."""
    async with AsyncExitStack() as stack:

        async def start(count, age=0.0):
            ports, started = [], []
            for _ in range(count):
                replica = Replica()
                server = Server(structlog.get_logger(), Metrics(), reflect=False, connection_age=age)
                register = {"p": lambda s, r=replica: product_pb2_grpc.add_ProductServiceServicer_to_server(r, s)}
                ports.append(await server.start("127.0.0.1:0", register))
                stack.push_async_callback(server.stop, 0)
                started.append(replica)
            address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
            end = await stack.enter_async_context(Endpoint("product", address, Metrics()))
            stub = product_pb2_grpc.ProductServiceStub(end.channel)

            async def ask():
                await end.send(stub.ListProducts, pb.ListProductsRequest(), within=5)

            return started, ask

        yield start


async def test_every_replica_gets_its_share(replicas):
    """Calls to an address that stands for three replicas reach all three, about equally."""
    started, ask = await replicas(3)

    def reached():
        return [replica for replica in started if replica.peers]

    while len(reached()) < 3:  # bounded by the test's own deadline: subchannels connect one after the other
        await ask()
    before = [replica.peers.total() for replica in started]
    for _ in range(1500):
        await ask()
    gained = [replica.peers.total() - least for replica, least in zip(started, before, strict=True)]
    assert min(gained) >= 400


async def test_old_connections_are_renewed(replicas):
    """A connection past its age is replaced, and no call fails for it."""
    (replica,), ask = await replicas(1, age=0.2)
    while len(replica.peers) < 3:
        await ask()


class Names(asyncio.DatagramProtocol):
    """A DNS server that gives `addresses` for every name."""

    def __init__(self):
        self.addresses = ["127.0.0.1"]

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, sender):
        """Answer a query for A records, as RFC 1035 has it."""
        end = 12  # the header; then the name, whose labels each begin with their length
        while data[end]:
            end += data[end] + 1
        question = data[12 : end + 5]
        wanted = self.addresses if question[-4:-2] == b"\0\1" else []
        records = [b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address) for address in wanted]
        header = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
        self.transport.sendto(header + question + b"".join(records), sender)


@pytest.fixture
async def names():
    """A DNS server that knows one replica."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    yield names
    transport.close()


async def serve(stack, host, port, age):
    """Start a replica, and give it and its port."""
    replica = Replica()
    server = Server(structlog.get_logger(), Metrics(), reflect=False, connection_age=age)
    register = {"p": lambda s: product_pb2_grpc.add_ProductServiceServicer_to_server(replica, s)}
    port = await server.start(f"{host}:{port}", register)
    stack.push_async_callback(server.stop, 0)
    return replica, port


async def test_a_replica_started_later_gets_its_share(names, logs):
    """Under steady load from many callers a new replica gets as much as the old one, and no call fails."""
    async with AsyncExitStack() as stack:
        old, port = await serve(stack, "127.0.0.1", 0, age=0.2)
        address = f"dns://127.0.0.1:{names.port}/replicas.test:{port}"
        end = await stack.enter_async_context(Endpoint("product", address, Metrics()))
        stub = product_pb2_grpc.ProductServiceStub(end.channel)
        enough = asyncio.Event()

        async def load():
            while not enough.is_set():
                await end.send(stub.ListProducts, pb.ListProductsRequest(), within=5)

        async with asyncio.TaskGroup() as callers:  # a call that fails ends the test
            for _ in range(5):
                callers.create_task(load())
            while not old.peers:  # noqa: ASYNC110 - bounded by the test's own deadline, as below
                await asyncio.sleep(0.01)
            new, _ = await serve(stack, "127.0.0.2", port, age=0.2)
            names.addresses.append("127.0.0.2")
            while not new.peers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            before = old.peers.total(), new.peers.total()
            while new.peers.total() < before[1] + 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            enough.set()
        gained = old.peers.total() - before[0], new.peers.total() - before[1]
        assert gained[1] > 0.3 * sum(gained)


NEW_REPLICA_SECONDS = 30
JITTER = 1.1  # gRPC spreads the ends of connections by a tenth


def test_the_defaults_find_new_replicas_in_time():
    """What passes before a caller asks the DNS again, and the time to connect, leave a third of the 30 s for stale DNS."""
    settings, options = Settings.from_env({}), dict(client._OPTIONS)
    resolve = options["grpc.dns_min_time_between_resolutions_ms"] / 1000
    connect = options["grpc.max_reconnect_backoff_ms"] / 1000 + client.CONNECT_SECONDS
    age = settings.grpc_max_connection_age * JITTER + call_streams.STREAM_SECONDS
    assert 0 < age + resolve + connect <= NEW_REPLICA_SECONDS * 2 / 3
    assert 0 < settings.http_max_connection_age <= NEW_REPLICA_SECONDS / 2


class Place:
    """A port at which replicas follow one another, and a caller of whoever is there."""

    def __init__(self, end, port):
        self.end, self.port = end, port
        self._stub = product_pb2_grpc.ProductServiceStub(end.channel)

    async def ask(self):
        await self.end.send(self._stub.ListProducts, pb.ListProductsRequest(), within=0.5)

    async def until_away(self):
        """Wait until an attempt to connect has failed."""
        while (state := self.end.channel.get_state(try_to_connect=True)) is not AWAY:
            await self.end.channel.current.wait_for_state_change(state)

    async def ask_before_anybody_comes(self):
        """Ask while nobody is there; a replica comes once an attempt to connect has failed."""
        asked = asyncio.create_task(self.ask())
        await self.until_away()
        server = Server(structlog.get_logger(), Metrics(), reflect=False)
        register = {"p": lambda s: product_pb2_grpc.add_ProductServiceServicer_to_server(Replica(), s)}
        await server.start(f"127.0.0.1:{self.port}", register)
        await asked
        await server.stop(0)


@pytest.fixture
async def place(unused_tcp_port):
    """Give a place where nobody is yet."""
    async with Endpoint("product", f"127.0.0.1:{unused_tcp_port}", Metrics()) as end:
        yield Place(end, unused_tcp_port)


AWAY = grpc.ChannelConnectivity.TRANSIENT_FAILURE


async def test_a_replica_that_takes_anothers_place_is_waited_for(place):
    """A call that finds nobody waits for who comes next, and then has all of its own time."""
    await place.ask_before_anybody_comes()


async def test_what_nobody_asked_for_long_is_waited_for_again(place):
    """What was away once is not taken for away for all the time in which nobody asked."""
    with call.within(call.incoming("", "", seconds=0.1)), pytest.raises(Unavailable):
        await place.ask()
    place.end._away_since -= 60  # seconds: that was a minute ago
    place.end._asked_at -= 60
    await place.ask_before_anybody_comes()
