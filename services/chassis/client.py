"""Outgoing calls: the time that is left goes along, a breaker stands before each dependency, faults come back typed."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

import grpc

from services.chassis import call, tracing
from services.chassis.call_streams import CallStreams, NotSent
from services.chassis.channel import RenewableChannel
from services.chassis.faults import OUTAGE, code_of, fault_in, fault_of
from services.chassis.postgres import forbid_in_transaction
from services.chassis.resilience import CircuitBreaker
from services.chassis.telemetry import Metrics
from services.errors import Fault, InternalError, Unavailable

V = TypeVar("V")

LEAST_USEFUL_SECONDS = 0.02  # a call with less time left cannot be answered in time
CONNECT_SECONDS = 2.0  # a replica that takes another's place is found by then, on a busy machine too; it is not away
MAX_REPLY_BYTES = 64 * 1024 * 1024  # of a batch: 64 pages of 100 orders, of 100 lines each, are below it
RENEW_SECONDS = 2.0  # gRPC's own pause between two look-ups of a name grows to two minutes
FORGET_SECONDS = 5.0  # what nobody has asked for so long may have been back since, and is waited for again

# A `dns:///` address may stand for many replicas: each gets its share, and a new one is found soon.
_SHARED = '{"loadBalancingConfig": [{"round_robin": {}}]}'
_OPTIONS = (
    ("grpc.service_config", _SHARED),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.enable_http_proxy", 0),
)


class Endpoint:
    """One remote service: its channel, its breaker and its metrics."""

    def __init__(self, name: str, address: str, metrics: Metrics, *, tls: bool = False) -> None:
        """Connect to `address`; with `tls` for a service outside our network, by the certificate authorities of this machine."""
        self.name = name
        self.channel = RenewableChannel(
            lambda: (
                grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(), options=_OPTIONS)
                if tls
                else grpc.aio.insecure_channel(address, options=_OPTIONS)
            )
        )
        self.breaker = CircuitBreaker(name, metrics)
        self.metrics = metrics
        self._away_since: float | None = None
        self._asked_at = 0.0
        self._renewed_at = time.perf_counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def send(self, method: Callable[..., Awaitable[Any]], request: Any, *, within: float) -> Any:
        """Call a stub's `method` `within` so many seconds of being connected, and within the request's own deadline.

        Unavailable: it was not sent, or shed unseen. OutcomeUnknown: no answer came. InternalError: the service failed
        unexpectedly with this request. Other faults: as the service said. The breaker counts as failures only what says
        that the service as a whole is away or overloaded: no connection, no answer in time, and the codes of OUTAGE.
        """
        with tracing.span(rpc_name(method), tracing.Kind.CLIENT) as span:
            span.set("rpc.system.name", "grpc")
            span.set("server.address", self.name)
            return await self._send(method, request, within)

    async def _send(self, method: Callable[..., Awaitable[Any]], request: Any, within: float) -> Any:
        forbid_in_transaction(self.name)
        left = _time_left()
        self.breaker.admit()
        started = time.perf_counter()
        outcome = "cancelled"
        tell_breaker: Callable[[], None] = self.breaker.abandon
        try:
            if not await self._connected(min(CONNECT_SECONDS, left)):
                outcome, tell_breaker = "unreachable", self._failing
                raise Unavailable(f"{self.name} is unavailable")
            reply = await _call(method, request, within)
            outcome, tell_breaker = "ok", self._answering
        except grpc.RpcError as error:
            fault = fault_of(error, self.name)
            outcome = type(fault).__name__
            tell_breaker = self._failing if code_of(error) in OUTAGE else self._answering
            raise fault from error
        else:
            return reply
        finally:
            tell_breaker()
            # The next turn of the loop: who has the reply goes on first.
            took = time.perf_counter() - started
            asyncio.get_running_loop().call_soon(self._count, method_name(method), outcome, took)

    def _count(self, method: str, outcome: str, took: float) -> None:
        self.metrics.called.labels(self.name, method, outcome).observe(took)

    def _answering(self) -> None:
        self.breaker.record(ok=True)

    def _failing(self) -> None:
        self.breaker.record(ok=False)

    async def _connected(self, most: float) -> bool:
        """Wait for a connection, `most` seconds; False where there is none, and nothing was sent.

        Only the first calls wait: what has been away for longer is refused at once, until it is back.
        """
        started = time.perf_counter()
        state = self.channel.get_state(try_to_connect=True)
        if state is not grpc.ChannelConnectivity.READY:
            if self._away_since is None or started - self._asked_at > FORGET_SECONDS:
                self._away_since = started
            self._asked_at = started
            left = min(most, self._away_since + CONNECT_SECONDS - started)
            try:
                async with asyncio.timeout(max(0.0, left)):
                    while state is not grpc.ChannelConnectivity.READY:
                        await self.channel.current.wait_for_state_change(state)
                        state = self.channel.get_state(try_to_connect=True)
            except TimeoutError:
                self._renew_channel()
                return False
        self._away_since = None
        return True

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page; it does not call the service."""
        if self.breaker.is_open:
            return "failing"
        state = self.channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return "ok"
        self._renew_channel()
        return "unreachable" if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE else "connecting"

    def _renew_channel(self) -> None:
        """Replace a channel that reaches nobody, every RENEW_SECONDS at most: its name may have an address by now."""
        now = time.perf_counter()
        if now - self._renewed_at >= RENEW_SECONDS:
            self._renewed_at = now
            self.channel.renew()


async def _call(method: Any, request: Any, within: float) -> Any:
    """Send a request over an open stream where the service has such, or else by a unary call; set the request's `call` for that."""
    now = call.current()
    timeout = min(within, _time_left())
    streams: CallStreams | None = getattr(method, "streams", None)
    if streams is not None:
        started = time.perf_counter()
        own = request.call
        own.request_id, own.traceparent = now.request_id, now.traceparent
        own.timeout_ms = max(1, int(timeout * 1000))
        try:
            return await streams(request, timeout)
        except NotSent:
            timeout -= time.perf_counter() - started
    metadata = (("x-request-id", now.request_id), ("traceparent", now.traceparent))
    return await method(request, timeout=timeout, metadata=metadata)


def rpc_name(method: Any) -> str:
    """Return the full name of a stub's method, such as `cartwright.cart.CartService/GetCarts`."""
    path = getattr(method, "_method", b"?")
    return path.decode().lstrip("/") if isinstance(path, bytes) else str(path)


def method_name(method: Any) -> str:
    """Return the name of a stub's method, such as `GetCarts`."""
    path = getattr(method, "_method", b"?")
    return path.decode().rpartition("/")[2] if isinstance(path, bytes) else str(path)


def _time_left() -> float:
    """Give the seconds that the request has; Unavailable where they are of no use."""
    left = call.current().remaining()
    if left is None:
        return math.inf
    if left < LEAST_USEFUL_SECONDS:
        raise Unavailable("there is no time left for this request")
    return left


def stamp(message: Any) -> None:
    """Fill the `Call` of an outgoing item from the request under way."""
    now = call.current()
    left = now.remaining()
    message.request_id = now.request_id
    message.traceparent = now.traceparent
    message.timeout_ms = 0 if left is None else max(1, int(left * 1000))


def stamped(item: Any) -> Any:
    """Return an outgoing item of a batch, whose `call` is filled from the request under way."""
    stamp(item.call)
    return item


def outcomes(results: Iterable[Any], value: Callable[[Any], V], *, expected: int) -> Sequence[V | Fault]:
    """Read the results of a batch: `value(result)` of each, or the fault that its refusal stands for.

    A reply with another number of results than was asked for raises InternalError: nothing in it can be trusted.
    """
    read = [
        fault_in(result.refusal) if result.WhichOneof("outcome") == "refusal" else value(result) for result in results
    ]
    if len(read) != expected:
        raise InternalError from AssertionError(f"{expected} results were expected, {len(read)} came")
    return read
