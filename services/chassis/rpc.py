"""The gRPC server of any service: decoding, deadlines, logs, metrics and faults, in one interceptor; and batches.

A handler runs in a task of its own that the end of the call does not cancel: grpc.aio cancels handlers when a client's
deadline passes, and a cancelled write would leave a connection in an unknown state.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis import call
from services.chassis.faults import RefusalMessage, refuse, status_of
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.errors import Fault, Invalid

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_BATCH = 256
MAX_UNDER_WAY = 1024  # past it a call is refused before it is looked at

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not half of the traffic
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
)

AGED_GRACE_SECONDS = 300  # for calls on a connection that is too old: longer than any but a stream, which is made again

Register = Callable[[grpc.aio.Server], None]


class CallMessage(Protocol):
    """The generated `Call`, known here by its shape alone."""

    request_id: str
    traceparent: str
    timeout_ms: int


class Item(Protocol):
    """An item of a batch."""

    @property
    def call(self) -> Any:
        """Who asks."""


class Result(Protocol):
    """The result of an item, which can be a refusal."""

    @property
    def refusal(self) -> Any:
        """Why it was not done."""


I = TypeVar("I", bound=Item)  # noqa: E741 - an item
V = TypeVar("V")
O = TypeVar("O")  # noqa: E741 - an outcome
R = TypeVar("R", bound=Result)


async def batch(
    items: Iterable[I],
    *,
    parse: Callable[[I], V],
    act: Callable[[Sequence[V]], Awaitable[Sequence[O | Fault]]],
    render: Callable[[O], R],
    refused: Callable[[], R],
) -> list[R]:
    """Answer a batch: each item gets its own result, and a bad or late one is refused alone.

    `parse` gives the value of an item or raises a Fault; `act` does all good ones at once and gives an outcome or a fault
    for each, in their order; `render` makes an outcome a result; `refused` makes an empty result, which is then filled in.
    """
    asked = list(items)
    if len(asked) > MAX_BATCH:
        raise Invalid(f"a batch holds at most {MAX_BATCH} items")
    results: list[R | None] = [None] * len(asked)
    good: list[tuple[int, V]] = []
    for position, item in enumerate(asked):
        try:
            good.append((position, parse(item)))
        except Fault as fault:
            results[position] = _refusal(refused(), fault)
    if good:
        with call.within(_call_of([asked[position].call for position, _ in good])):
            outcomes = await act([value for _, value in good])
        if len(outcomes) != len(good):
            raise AssertionError(f"{len(good)} items in, {len(outcomes)} outcomes out")
        for (position, _), outcome in zip(good, outcomes, strict=True):
            results[position] = _refusal(refused(), outcome) if isinstance(outcome, Fault) else render(outcome)
    return cast("list[R]", results)


def _refusal(result: R, fault: Fault) -> R:
    refuse(cast("RefusalMessage", result.refusal), fault)
    return result


def _call_of(calls: Sequence[CallMessage]) -> call.Call:
    """Give one call for a batch: the first one's ids, and the longest time that any item has, within the RPC's own."""
    outer = call.current()
    first = calls[0]
    left = [message.timeout_ms / 1000 for message in calls]
    longest = max(left) if all(left) else None
    limits = [limit for limit in (longest, outer.remaining()) if limit is not None]
    return call.incoming(
        first.request_id or outer.request_id,
        first.traceparent or outer.traceparent,
        seconds=min(limits) if limits else None,
    )


def _aging(seconds: float) -> tuple[tuple[str, int], ...]:
    if not seconds:
        return ()
    grace = ("grpc.max_connection_age_grace_ms", AGED_GRACE_SECONDS * 1000)
    return (("grpc.max_connection_age_ms", int(seconds * 1000)), grace)


class Server:
    """A gRPC server with standard health and, where wanted, reflection."""

    def __init__(self, log: Logger, metrics: Metrics, *, reflect: bool, connection_age: float = 0) -> None:
        """Create a server. Connections older than `connection_age` seconds are closed once their calls have ended; 0: never."""
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server = grpc.aio.server(
            interceptors=(_Guard(log, metrics, self._tasks),),
            options=(*_OPTIONS, *_aging(connection_age)),
            maximum_concurrent_rpcs=MAX_UNDER_WAY,
        )
        self._health = health.aio.HealthServicer()
        self._reflect = reflect

    async def start(self, address: str, services: dict[str, Register]) -> int:
        """Serve `services` (full name → what adds it); give the port. OSError when the address is taken."""
        for register in services.values():
            register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._reflect:
            names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(
                f"cannot listen on {address}: the port is taken or the address is not this machine's"
            ) from error
        await self._server.start()
        for name in ("", *services):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def drain(self) -> None:
        """Tell health checks that this server is going."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Take no more calls, and let those under way end within `grace` seconds."""
        ends_at = time.monotonic() + grace
        await self._server.stop(grace)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.1, ends_at - time.monotonic()))
        if self._tasks:
            self._log.warning("calls cut off by the shutdown", calls=len(self._tasks))


class _Guard(grpc.aio.ServerInterceptor):
    """Stands before every unary method of a server."""

    def __init__(self, log: Logger, metrics: Metrics, tasks: set[asyncio.Task[Any]]) -> None:
        self._log = log
        self._metrics = metrics
        self._tasks = tasks

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None or handler_call_details.method.startswith("/grpc."):
            return handler
        method = handler_call_details.method

        async def guarded(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await self._answer(method, handler, raw, context)

        # The bytes are decoded inside, so that a malformed message is the caller's error and not ours.
        return grpc.unary_unary_rpc_method_handler(guarded, None, handler.response_serializer)

    async def _answer(self, method: str, handler: Any, raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        started = time.perf_counter()
        metadata = dict(context.invocation_metadata() or ())
        now = call.incoming(
            str(metadata.get("x-request-id", "")),
            str(metadata.get("traceparent", "")),
            seconds=context.time_remaining(),
        )
        code, details, reply = grpc.StatusCode.OK, "", None
        with call.within(now):
            try:
                request = handler.request_deserializer(raw)
                reply = await self._supervised(handler.unary_unary(request, context))
            except DecodeError:
                code, details = grpc.StatusCode.INVALID_ARGUMENT, "the message is malformed"
            except Fault as fault:
                code, details = status_of(fault), str(fault)
            except asyncio.CancelledError:
                self._note(method, grpc.StatusCode.CANCELLED, started)
                raise
            except Exception:  # noqa: BLE001 - it ends as INTERNAL, logged with its traceback
                self._log.exception("unexpected failure", method=method)
                code, details = grpc.StatusCode.INTERNAL, "internal error"
            self._note(method, code, started)
        if code is not grpc.StatusCode.OK:
            await context.abort(code, details)
        return reply

    async def _supervised(self, work: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, Fault):
            self._log.error("a handler failed", error=repr(error))

    def _note(self, method: str, code: grpc.StatusCode, started: float) -> None:
        took = time.perf_counter() - started
        self._metrics.served.labels(method.rpartition("/")[2], code.name).observe(took)
        self._log.info("rpc", method=method, code=code.name, ms=round(took * 1000, 2))
