"""The gRPC server of any service: decoding, deadlines, logs, metrics and faults, in one interceptor.

A handler runs in a task of its own that the end of the call does not cancel: grpc.aio cancels handlers when a client's
deadline passes, and a cancelled write would leave a connection in an unknown state.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis import call, tracing
from services.chassis.batched_request import REPORT
from services.chassis.call_streams import SUFFIX
from services.chassis.failures import report
from services.chassis.faults import status_of
from services.chassis.logs import Logger
from services.chassis.served_streams import ServedStreams
from services.chassis.telemetry import Metrics
from services.chassis.web import CannotListen
from services.errors import Fault, InternalError

MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # of a request: 64 purchases of 100 lines each are far below it
MAX_UNDER_WAY = 1024  # past it a call is refused before it is looked at
MAX_OPEN = 16 * 1024  # of calls and of streams, most of which carry nothing

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not half of the traffic
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
)

AGED_GRACE_SECONDS = 300  # for calls on a connection that is too old: longer than any but a stream, which is made again

_FAILED = frozenset({
    grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
})  # fmt: skip
"""The codes that are a failure of the server and not the caller's, as OpenTelemetry's conventions have them."""

Register = Callable[[Any], None]
"""Adds the methods of a service to a Server, as the generated code does."""


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
        self._handlers: dict[str, Any] = {}
        self._streams = ServedStreams()
        self._server = grpc.aio.server(
            interceptors=(Guard(log, metrics, self._tasks, self._handlers, self._streams),),
            options=(*_OPTIONS, *_aging(connection_age)),
            maximum_concurrent_rpcs=MAX_OPEN,
        )
        self._health = health.aio.HealthServicer()
        self._reflect = reflect

    async def start(self, address: str, services: dict[str, Register]) -> int:
        """Serve `services` (full name → what adds it); give the port. CannotListen when the address is taken."""
        for register in services.values():
            register(self)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._reflect:
            names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise CannotListen(
                f"cannot listen on {address}: the port is taken or the address is not this machine's"
            ) from error
        await self._server.start()
        for name in ("", *services):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Add methods, as the generated code does."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Note methods by their paths, as the generated code gives them beside."""
        self._handlers.update({f"/{service}/{name}": handler for name, handler in handlers.items()})

    async def drain(self) -> None:
        """Tell health checks that this server is going."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Take no more calls, and let those under way end within `grace` seconds."""
        ends_at = time.monotonic() + grace
        await asyncio.gather(self._server.stop(grace), self._streams.leave())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.1, ends_at - time.monotonic()))
        if self._tasks:
            self._log.warning("calls cut off by the shutdown", calls=len(self._tasks))


class Guard(grpc.aio.ServerInterceptor):
    """Stands before every method of a server."""

    def __init__(
        self,
        log: Logger,
        metrics: Metrics,
        tasks: set[asyncio.Task[Any]],
        handlers: Mapping[str, Any],
        streams: ServedStreams,
    ) -> None:
        """Take where the tasks of calls are kept, the handlers of methods by path, and the streams that carry calls."""
        self._log = log
        self._metrics = metrics
        self._tasks = tasks
        self._handlers = handlers
        self._streams = streams

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return what answers a call: the method's handler within this guard."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith("/grpc."):
            return handler
        # A stream carries the calls of a unary method, whose handler answers them.
        if handler.stream_stream is not None:
            path = method.removesuffix(SUFFIX)
            unary = self._handlers[path]

            async def guarded_calls(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
                async def answer(raw: bytes) -> bytes:
                    request = _decoded(unary, raw)
                    reply = await self._answer(path, unary, request, context, _call_within(request))
                    return cast("bytes", unary.response_serializer(reply))

                await self._streams.serve(context, answer)

            return grpc.stream_stream_rpc_method_handler(guarded_calls, None, None)
        # The bytes are decoded here, so that a malformed message is the caller's error and not ours.
        if handler.unary_unary is not None:

            async def guarded(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
                return await self._answer(method, handler, _decoded(handler, raw), context, _call_in(context))

            return grpc.unary_unary_rpc_method_handler(guarded, None, handler.response_serializer)
        if handler.unary_stream is not None:

            async def guarded_stream(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
                async for reply in self._stream(method, handler, raw, context):
                    yield reply

            return grpc.unary_stream_rpc_method_handler(guarded_stream, None, handler.response_serializer)
        return handler

    async def _answer(
        self,
        method: str,
        handler: Any,
        request: Any | None,
        context: grpc.aio.ServicerContext[Any, Any],
        now: call.Call,
    ) -> Any:
        """Answer a request of the call `now`. None: its message was malformed, which is the caller's error."""
        if len(self._tasks) >= MAX_UNDER_WAY:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls are under way")
        started = time.perf_counter()
        code, details, reply = grpc.StatusCode.OK, "", None
        with call.within(now), tracing.root(method[1:], tracing.Kind.SERVER) as span:
            span.set("rpc.system.name", "grpc")
            REPORT.set(lambda error: report(self._log, self._metrics, method, error))
            try:
                if request is None:
                    raise DecodeError  # noqa: TRY301 - ends like any other failure
                reply = await self._supervised(handler.unary_unary(request, context))
            except asyncio.CancelledError:
                self._note(method, grpc.StatusCode.CANCELLED, time.perf_counter() - started)
                raise
            except Exception as error:  # noqa: BLE001 - it ends as a status code, and was reported where unexpected
                code, details = _status(error)
                if code in _FAILED:
                    span.fail(code.name)
            # The next turn of the loop: the reply does not wait for its log line.
            asyncio.get_running_loop().call_soon(self._note, method, code, time.perf_counter() - started)
        if code is not grpc.StatusCode.OK:
            await context.abort(code, details)
        return reply

    async def _stream(
        self, method: str, handler: Any, raw: bytes, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        try:
            async for reply in handler.unary_stream(handler.request_deserializer(raw), context):
                yield reply
        except Exception as error:  # noqa: BLE001 - it ends as a status code
            if not isinstance(error, (DecodeError, Fault)):
                report(self._log, self._metrics, method, error)
            await context.abort(*_status(error))

    async def _supervised(self, work: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.ensure_future(self._reported(work))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _reported(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do the work and report what it did not foresee, whether or not its caller still waits."""
        try:
            return await work
        except Fault:
            raise
        except Exception as error:
            REPORT.get()(error)
            raise InternalError from error

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it was reported; asyncio need not complain that nobody looked

    def _note(self, method: str, code: grpc.StatusCode, took: float) -> None:
        self._metrics.served.labels(method.rpartition("/")[2], code.name).observe(took)
        self._log.info("rpc", method=method, code=code.name, ms=round(took * 1000, 2))


def _call_in(context: grpc.aio.ServicerContext[Any, Any]) -> call.Call:
    """Give the request that a call belongs to, with the time that it has left."""
    metadata = dict(context.invocation_metadata() or ())
    return call.incoming(
        str(metadata.get("x-request-id", "")),
        str(metadata.get("traceparent", "")),
        seconds=context.time_remaining(),
    )


def _call_within(request: Any | None) -> call.Call:
    """Give the request that a call on a stream belongs to. Its message says what the headers of a unary call do."""
    if request is None:
        return call.incoming("", "", seconds=None)
    own = request.call
    return call.incoming(own.request_id, own.traceparent, seconds=own.timeout_ms / 1000 if own.timeout_ms else None)


def _decoded(handler: Any, raw: bytes) -> Any | None:
    """Decode a request; None where it is malformed."""
    try:
        return handler.request_deserializer(raw)
    except DecodeError:
        return None


def _status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Give the status code that an error is answered with, and a text without anything internal in it."""
    if isinstance(error, DecodeError):
        return grpc.StatusCode.INVALID_ARGUMENT, "the message is malformed"
    fault = error if isinstance(error, Fault) else InternalError()
    return status_of(fault), str(fault)
