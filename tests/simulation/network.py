"""The network between services: the real stubs and the real server guard, with a simulated channel in between.

A message is encoded when it is sent, so that nobody shares it. Each direction takes a drawn time. Every call is a point of the
fault plan.
"""

import asyncio
import contextvars
import math
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from services.chassis.client import Endpoint
from services.chassis.resilience import CircuitBreaker
from tests.simulation.faults import BACK, CALLS, THERE, Fault, Kind
from tests.simulation.loop import Process
from tests.simulation.server import Aborted, Context, Registry, rpc_error
from tests.simulation.stream import Stream

READY, AWAY = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
UNAVAILABLE, DEADLINE, EXHAUSTED = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
NOT_REPEATABLE = frozenset({"AddItems", "SetQuantities", "RemoveItems", "ClearCarts"})
"""Methods that a second delivery would apply a second time, to what is in the cart by then. TCP delivers a request once; whoever
repeats one of these does so knowingly, as the shoppers do."""
ONCE = tuple(kind for kind in CALLS if kind is not Kind.TWICE)


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
            return Stream(self._network, self.client, self._service, path, raw, response_deserializer)

        return call

    def stream_stream(self, *_: Any, **__: Any) -> None:
        """Return nothing: the simulated network loses and delays calls one by one, so each goes by itself."""

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
        if task.cancelled():
            return
        error = task.exception()
        if self._answer is None:
            return
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
