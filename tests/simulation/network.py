"""The network between services: the real stubs and the real server guard, with a simulated channel in between.

A message is encoded when it is sent, so that nobody shares it. Each direction takes a drawn time. Every call is a point of the
fault plan.
"""

import asyncio
import contextvars
import math
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc

from services.chassis.client import Endpoint
from services.chassis.resilience import CircuitBreaker
from services.chassis.rpc import _Guard
from tests.simulation.faults import BACK, CALLS, THERE, Fault, Kind
from tests.simulation.loop import Process

READY, AWAY = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
UNAVAILABLE, DEADLINE, EXHAUSTED = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
NOT_REPEATABLE = frozenset({"AddItems"})
"""Methods that a second delivery would apply a second time, as is documented. TCP delivers a request once; whoever repeats one
of these does so knowingly, as the shoppers do."""
STREAMS = (Kind.REFUSED, Kind.REPLY_LOST)
ONCE = tuple(kind for kind in CALLS if kind is not Kind.TWICE)
_NO_METADATA = grpc.aio.Metadata()


def rpc_error(code: grpc.StatusCode, details: str = "") -> grpc.aio.AioRpcError:
    """Return the error of a call that ended so."""
    return grpc.aio.AioRpcError(code, _NO_METADATA, _NO_METADATA, details)


class Aborted(Exception):
    """How a handler ends a call with a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code


class Context:
    """What a handler knows of its call."""

    __slots__ = ("_ends_at", "_loop", "_metadata")

    def __init__(self, loop: Any, metadata: Any, ends_at: float) -> None:
        self._loop = loop
        self._metadata = metadata
        self._ends_at = ends_at

    def invocation_metadata(self) -> Any:
        """Return what the caller sent along."""
        return self._metadata

    def time_remaining(self) -> float:
        """Return the seconds that the caller still waits."""
        return self._ends_at - self._loop.now

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        """End the call."""
        raise Aborted(code, details)


class Registry:
    """Takes the place of a gRPC server where servicers register."""

    def __init__(self, log: Any, metrics: Any) -> None:
        self._guard = _Guard(log, metrics, set())
        self._handlers: dict[str, Any] = {}
        self._guarded: dict[str, tuple[Callable[..., Any], Callable[[Any], bytes]]] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Do nothing: the generated code registers twice."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Note the handlers of a service."""
        for name, handler in handlers.items():
            self._handlers[f"/{service}/{name}"] = handler

    def method(self, path: str) -> tuple[Callable[..., Any], Callable[[Any], bytes]]:
        """Return the handler of a path, guarded as the real server does it, and what encodes its reply."""
        found = self._guarded.get(path)
        if found is None:
            handler = self._handlers[path]

            async def continuation(_: Any) -> Any:
                return handler

            guarding = self._guard.intercept_service(continuation, SimpleNamespace(method=path))
            try:
                guarding.send(None)
            except StopIteration as ended:
                guarded = ended.value.unary_unary or ended.value.unary_stream
                found = self._guarded[path] = (guarded, handler.response_serializer)
        return found


class Method:
    """A method of a stub."""

    __slots__ = ("_channel", "_decode", "_encode", "_method", "name", "path")

    def __init__(self, channel: "Channel", path: str, encode: Any, decode: Any) -> None:
        self._channel = channel
        self._encode = encode
        self._decode = decode
        self._method = path.encode()  # where services.chassis.client looks for the name
        self.path = path
        self.name = path.rpartition("/")[2]

    def __call__(self, request: Any, *, timeout: float = math.inf, metadata: Any = ()) -> Any:
        return self._channel.send(self, self._encode(request), self._decode, timeout, metadata)


class Channel:
    """The connections of one process to the replicas of a service."""

    def __init__(self, network: "Network", client: Process, service: str) -> None:
        self._network = network
        self.client = client
        self._service = service

    @property
    def current(self) -> "Channel":
        """Return itself: it is never replaced."""
        return self

    def renew(self) -> None:
        """Do nothing."""

    def get_state(self, *, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return whether a replica is up."""
        return READY if self._network.replicas(self._service) else AWAY

    async def wait_for_state_change(self, _: grpc.ChannelConnectivity) -> None:
        """Wait a while."""
        await asyncio.sleep(0.1)

    def unary_unary(
        self,
        path: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: Any = None,
    ) -> Method:
        """Return a method for a stub."""
        return Method(self, path, request_serializer, response_deserializer)

    def unary_stream(
        self,
        path: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: Any = None,
    ) -> Callable[..., "Stream"]:
        """Return a method that gives a stream of messages."""

        def call(request: Any, **_: Any) -> Stream:
            raw = request_serializer(request)
            return Stream(self._network, self._client, self._service, path, raw, response_deserializer)

        return call

    async def close(self, grace: float = 0.0) -> None:
        """Do nothing."""

    async def send(self, method: Method, raw: bytes, decode: Any, within: float, metadata: Any) -> Any:
        """Send a request and return the reply, or raise the error that the call ended with."""
        return decode(await self._network.send(self.client, self._service, method, raw, within, metadata))


class SimEndpoint(Endpoint):
    """The real client of a service on a simulated channel."""

    def __init__(self, network: "Network", client: Process, name: str, metrics: Any) -> None:
        self.name = name
        self.channel = Channel(network, client, name)  # type: ignore[assignment]
        self.breaker = CircuitBreaker(name, metrics, clock=network.loop.time)
        self.metrics = metrics
        self._away_since = None
        self._asked_at = 0.0
        self._renewed_at = 0.0


class Network:
    """Carries calls between processes."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.loop = world.loop
        self._services: dict[str, dict[str, tuple[Process, Registry]]] = {}
        self._turns: dict[str, Iterator[int]] = {}
        self._sent = 0

    def serve(self, service: str, process: Process, registry: Registry) -> None:
        """Let a process serve from now on; its next life takes its place."""
        self._services.setdefault(service, {})[process.name] = (process, registry)

    def next_turn(self) -> int:
        """Return the number of the next call: replicas take turns."""
        self._sent += 1
        return self._sent

    def replicas(self, service: str) -> list[tuple[Process, Registry]]:
        """Return the replicas that are up; one that is paused keeps its connections."""
        return [one for one in self._services.get(service, {}).values() if one[0].alive]

    def send(
        self, client: Process, service: str, method: Method, raw: bytes, timeout: float, metadata: Any
    ) -> "asyncio.Future[bytes]":
        """Send a request, with whatever fault strikes it."""
        loop, world = self.loop, self._world
        turn = self.next_turn()
        point = f"{client.name} -> {service}.{method.name}"
        possible = ONCE if method.name in NOT_REPEATABLE else CALLS
        fault: Fault | None = world.strike(client, point, possible)
        kind, number = fault.kind if fault else None, world.faults.number
        answer: asyncio.Future[bytes] = loop.create_future()
        up = self.replicas(service)
        if fault and kind is Kind.REFUSED:
            answer.set_exception(rpc_error(EXHAUSTED if fault.coin < 0.5 else UNAVAILABLE, "refused"))
        elif not up:
            answer.set_exception(rpc_error(UNAVAILABLE, "no connection"))
        if answer.done() or kind is Kind.KILLED_BEFORE:
            return answer
        server, registry = up[turn % len(up)]
        ends_at = loop.now + timeout
        one = _Call(self, client, server, registry, method, raw, metadata, answer, ends_at, fault, point, number)
        loop.call_at(ends_at, one.expire, context=client.context)
        delay = world.faults.latency(point, number, THERE)
        if fault is None:
            loop.at(server, delay, one.arrive)
        else:
            self._send_with_fault(one, fault, delay, timeout)
        return answer

    def _send_with_fault(self, one: "_Call", fault: Fault, delay: float, patience: float) -> None:
        loop, kind = self.loop, fault.kind
        delay += fault.delay(back=False)
        if kind is Kind.LATE:
            delay += fault.after
            if fault.coin < 0.5:
                loop.at(one.client, min(0.01, fault.after), one.reset)
            else:
                delay += patience
        elif kind is Kind.TWICE:
            loop.at(one.server, delay + fault.after, one.again().arrive)
        elif kind is Kind.SERVER_PAUSED:
            self._world.pause(one.server, fault.after)
        if kind is not Kind.REQUEST_LOST:
            loop.at(one.server, delay, one.arrive)
        elif fault.coin < 0.5:
            loop.at(one.client, delay, one.reset)


class Stream:
    """A stream of messages from a server to a client, in order, until it breaks."""

    def __init__(self, network: Network, client: Process, service: str, path: str, raw: bytes, decode: Any) -> None:
        self._network = network
        self._client = client
        self._decode = decode
        self._come: deque[bytes | Exception] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._last = 0.0
        self._broken = False
        world, loop = network._world, network.loop
        point = f"{client.name} -> {service}.{path.rpartition('/')[2]}"
        fault = world.strike(client, point, STREAMS)
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


class _Call:
    """One call on its way."""

    __slots__ = (
        "_answer", "_fault", "_metadata", "_method", "_network", "_number", "_point", "_raw", "_registry",
        "client", "ends_at", "server",
    )  # fmt: skip

    def __init__(
        self,
        network: Network,
        client: Process,
        server: Process,
        registry: Registry,
        method: Method,
        raw: bytes,
        metadata: Any,
        answer: "asyncio.Future[bytes] | None",
        ends_at: float,
        fault: Fault | None,
        point: str,
        number: int,
    ) -> None:
        self._point = point
        self._number = number
        self._network = network
        self.client = client
        self.server = server
        self._registry = registry
        self._method = method
        self._raw = raw
        self._metadata = metadata
        self._answer = answer
        self._fault = fault
        self.ends_at = ends_at

    def again(self) -> "_Call":
        """Return a second delivery of the same call, whose reply nobody waits for."""
        return _Call(
            self._network, self.client, self.server, self._registry, self._method, self._raw, self._metadata,
            None, self.ends_at, None, self._point, self._number,
        )  # fmt: skip

    def arrive(self) -> None:
        """Begin to answer, in the server."""
        network, server = self._network, self.server
        world = network._world
        if self._fault and self._fault.kind is Kind.SERVER_KILLED_BEFORE:
            world.kill(server)
            self._send_back(self.reset)
            return
        handler, encode = self._registry.method(self._method.path)
        # A call that is delivered after its caller has gone is executed all the same, with no time left to speak of.
        ends_at = max(self.ends_at, network.loop.now + 2.0)
        context = Context(network.loop, self._metadata, ends_at)
        task = network.loop.create_task(handler(self._raw, context), context=contextvars.Context())
        world.serving(server, self)
        if self.ends_at > network.loop.now:
            timer = network.loop.call_at(self.ends_at, task.cancel, context=server.context)
            task.add_done_callback(lambda _: timer.cancel())
        task.add_done_callback(lambda done: self._done(done, encode))

    def _done(self, task: "asyncio.Task[Any]", encode: Callable[[Any], bytes]) -> None:
        world = self._network._world
        world.served(self.server, self)
        if self._answer is None or task.cancelled():
            return
        error = task.exception()
        kind = self._fault.kind if self._fault else None
        if kind is Kind.SERVER_KILLED_AFTER:
            world.kill(self.server)
            self._send_back(self.reset)
        elif kind is Kind.KILLED_AFTER:
            world.kill(self.client)
        elif kind is Kind.REPLY_LOST:
            if self._fault and self._fault.coin < 0.5:
                self._send_back(self.reset)
        elif isinstance(error, Aborted):
            self._send_back(self._fail, rpc_error(error.code, str(error)))
        elif error is not None:
            self._send_back(self._fail, rpc_error(grpc.StatusCode.UNKNOWN, str(error)))
        else:
            self._send_back(self._reply, encode(task.result()))

    def lost(self) -> None:
        """Tell the caller that the server has died with its call."""
        self._send_back(self.reset)

    def _send_back(self, callback: Callable[..., None], *args: Any) -> None:
        network = self._network
        delay = network._world.faults.latency(self._point, self._number, BACK)
        if self._fault:
            delay += self._fault.delay(back=True)
        network.loop.at(self.client, delay, callback, *args)

    def reset(self) -> None:
        """End the call as a lost connection does."""
        self._fail(rpc_error(UNAVAILABLE, "connection reset"))

    def expire(self) -> None:
        """End the call at its deadline."""
        self._fail(rpc_error(DEADLINE, "deadline exceeded"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _reply(self, raw: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(raw)
