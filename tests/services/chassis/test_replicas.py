"""Replicas share the load, old connections are renewed without a failed call, and a draining page sends clients away."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from types import SimpleNamespace

import aiohttp
import grpc
import pytest
import structlog
from aiohttp import web as aiohttp_web

from services.chassis import call, web
from services.chassis.client import Endpoint
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
    """Calls to an address that stands for three replicas reach all three."""
    started, ask = await replicas(3)

    def reached():
        return [replica for replica in started if replica.peers]

    while len(reached()) < 3:  # bounded by the test's own deadline: subchannels connect one after the other
        await ask()
    before = [replica.peers.total() for replica in started]
    for _ in range(30):
        await ask()
    assert [replica.peers.total() - least for replica, least in zip(started, before, strict=True)] == [10, 10, 10]


async def test_old_connections_are_renewed(replicas):
    """A connection past its age is replaced, and no call fails for it."""
    (replica,), ask = await replicas(1, age=0.2)
    while len(replica.peers) < 3:
        await ask()


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
            await self.end.channel.wait_for_state_change(state)

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


async def test_a_draining_page_closes_connections(unused_tcp_port_factory):
    """While serving, a client keeps its connection; once draining, the answer says that it ends."""
    readiness, port = web.Readiness(), unused_tcp_port_factory()
    app = aiohttp_web.Application()
    app.on_response_prepare.append(web.close_when_draining(readiness))
    app.add_routes(web.health_routes(readiness, Metrics()))
    runner = await web.start(app, "127.0.0.1", port, drain=1)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            seen = SimpleNamespace()
            for state in ("serving", "draining"):
                readiness.state = state
                async with client.get("/health") as response:
                    setattr(seen, state, response.headers.get("Connection"))
        assert (seen.serving, seen.draining) == (None, "close")
    finally:
        await runner.cleanup()
