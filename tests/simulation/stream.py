"""A call whose reply is a stream of messages, such as that of the changes of checkouts."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc

from tests.simulation.faults import Kind
from tests.simulation.loop import Process
from tests.simulation.server import Context, Registry, rpc_error

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
POSSIBLE = (Kind.REFUSED, Kind.REPLY_LOST)
"""What can strike a stream: it is not opened, or it breaks after a while."""


class Stream:
    """A stream of messages from a server to a client, in order, until it breaks."""

    def __init__(self, network: Any, client: Process, service: str, path: str, raw: bytes, decode: Any) -> None:
        self._network = network
        self._client = client
        self._decode = decode
        self._come: deque[bytes | Exception] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._last = 0.0
        self._broken = False
        world, loop = network._world, network.loop
        point = f"{client.name} -> {service}.{path.rpartition('/')[2]}"
        fault = world.strike(client, point, POSSIBLE)
        up = network.replicas(service)
        if not up or (fault and fault.kind is Kind.REFUSED):
            self._come.append(rpc_error(UNAVAILABLE, "no connection"))
            return
        server, registry = up[network.next_turn() % len(up)]
        if fault and fault.kind is Kind.REPLY_LOST:
            loop.at(client, 3.0 * fault.coin, self.lost)
        loop.at(server, world.latency(point), self._begin, server, registry, path, raw)

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Any:
        while not self._come:
            self._waiter = self._network.loop.create_future()
            await self._waiter
        one = self._come.popleft()
        if isinstance(one, Exception):
            raise one
        return self._decode(one)

    def lost(self) -> None:
        """Break the stream."""
        if not self._broken:
            self._broken = True
            self._network.loop.at(self._client, 0.001, self._push, rpc_error(UNAVAILABLE, "connection reset"))

    def _begin(self, server: Process, registry: Registry, path: str, raw: bytes) -> None:
        handler, encode = registry.method(path)
        context = Context(self._network.loop, (), self._network.loop.now + 1e9)
        self._network._world.serving(server, self)
        self._network.loop.create_task(self._pump(handler(raw, context), encode), context=contextvars.Context())

    async def _pump(self, replies: Any, encode: Callable[[Any], bytes]) -> None:
        loop = self._network.loop
        async for reply in replies:
            if self._broken or not self._client.alive:
                return
            self._last = max(self._last, loop.now + self._network._world.latency("stream"))
            loop.at(self._client, self._last - loop.now, self._push, encode(reply))
        self.lost()

    def _push(self, one: bytes | Exception) -> None:
        self._come.append(one)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
