"""Stands in the client libraries of a process, so that every outgoing call passes a point: a fault can strike at it.

The libraries are the one place that every call passes, also one that nobody has thought of. Nothing in the product knows of this.
"""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.torture import strike
from tests.torture.orders import Injection, Post
from tests.torture.points import Fault, Kind, Point, api_request, mongo_command, redis_command, statement

ROOT = str(Path(__file__).resolve().parents[2])


def install(post: Post) -> None:
    """Stand in the libraries that this process has imported."""
    for library, stand in _LIBRARIES.items():
        if library in sys.modules:
            stand(post)


def _passes(post: Post, kind: Kind, what: str) -> Injection | None:
    """Pass a point; do here what happens before the call, and return the fault for the rest."""
    injection = post.passes(str(Point(post.part, kind, what)))
    if injection is not None:
        strike.before(injection, kind, post.stores)
    return injection


def _function() -> str | None:
    """Return which function of a service makes the call, without the chassis; None where none does, as for a readiness page."""
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(ROOT) and "/services/" in path and "/chassis/" not in path:
            return f"{Path(path).stem}.{frame.f_code.co_name}"
        frame = frame.f_back
    return None


def _asyncpg(post: Post) -> None:
    import asyncpg  # noqa: PLC0415 - only where the process has it

    connection = asyncpg.connection.Connection

    def hook(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def hooked(self: Any, query: str, *args: Any, **more: Any) -> Any:
            function, what = _function(), statement(query)
            if function is None or what is None or (original.__name__ == "execute" and args):
                return await original(self, query, *args, **more)
            injection = _passes(post, Kind.SQL, f"{function}: {what}")
            if injection is None:
                return await original(self, query, *args, **more)
            return await strike.around(
                injection,
                lambda: original(self, query, *args, **more),
                cut=self._transport.abort,
                lost=lambda: asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
            )

        return hooked

    connection.execute = hook(connection.execute)
    connection._do_execute = hook(connection._do_execute)


def _grpc(post: Post) -> None:
    import grpc  # noqa: PLC0415

    callable_ = sys.modules["grpc.aio._channel"].UnaryUnaryMultiCallable
    original = callable_.__call__

    def hooked(self: Any, request: Any, **more: Any) -> Any:
        name = self._method.decode() if isinstance(self._method, bytes) else self._method
        if name.startswith("/grpc."):
            return original(self, request, **more)
        service, _, method = name.rpartition("/")
        injection = _passes(post, Kind.RPC, f"{service.rpartition('.')[2]}.{method}")
        if injection is None:
            return original(self, request, **more)
        given_up = grpc.StatusCode.DEADLINE_EXCEEDED if injection.fault is Fault.LATE else grpc.StatusCode.UNAVAILABLE

        def lost() -> Exception:
            return grpc.aio.AioRpcError(given_up, grpc.aio.Metadata(), grpc.aio.Metadata(), "Socket closed")

        return strike.around(injection, lambda: original(self, request, **more), cut=lambda: None, lost=lost)

    callable_.__call__ = hooked


def _pymongo(post: Post) -> None:
    connection = sys.modules["pymongo.synchronous.pool"].Connection
    send, receive = connection.send_message, connection.receive_message

    def reset(self: Any, injection: Injection) -> None:
        injection.carried_out()
        self._raise_connection_failure(ConnectionResetError("connection reset by peer"))

    def sending(self: Any, message: bytes, size: int) -> None:
        command = mongo_command(message)
        self.injection = None if command is None else _passes(post, Kind.MONGO, command)
        if self.injection and self.injection.fault is Fault.REFUSED:
            reset(self, self.injection)
        send(self, message, size)

    def receiving(self: Any, request_id: int | None) -> Any:
        injection, self.injection = getattr(self, "injection", None), None
        reply = receive(self, request_id)
        if injection and injection.fault is Fault.KILLED_AFTER:
            strike.kill(injection)
        if injection and injection.fault is Fault.LOST:
            reset(self, injection)
        return reply

    connection.send_message, connection.receive_message = sending, receiving


def _redis(post: Post) -> None:
    library = sys.modules["redis.asyncio.connection"]
    connection, parser = library.AbstractConnection, library.DefaultParser
    send, read = connection.send_packed_command, parser.read_response
    broken = sys.modules["redis.exceptions"].ConnectionError
    waiting: dict[int, tuple[Any, Injection]] = {}
    """The connections whose next reply is struck, by the identity of their parser, which has no room for an attribute."""

    async def reset(self: Any, injection: Injection) -> None:
        await self.disconnect(nowait=True)
        injection.carried_out()
        raise broken("Connection closed by server.")

    async def sending(self: Any, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - the library's
        packed = command if isinstance(command, bytes) else b"".join(command)
        what = redis_command(packed)
        injection = None if what is None else _passes(post, Kind.REDIS, what)
        waiting.pop(id(self._parser), None)
        if injection and injection.fault is Fault.REFUSED:
            await reset(self, injection)
        if injection and injection.fault in {Fault.KILLED_AFTER, Fault.LOST}:
            waiting[id(self._parser)] = (self, injection)
        await send(self, packed, check_health)

    async def reading(self: Any, *args: Any, **more: Any) -> Any:
        struck = waiting.pop(id(self), None)
        reply = await read(self, *args, **more)
        if struck and struck[1].fault is Fault.KILLED_AFTER:
            strike.kill(struck[1])
        if struck:
            await reset(*struck)
        return reply

    # Replies are read from the parser by some without the connection's read_response.
    connection.send_packed_command, parser.read_response = sending, reading


def _aiokafka(post: Post) -> None:  # noqa: C901 - three methods, each with a hook
    import aiokafka  # noqa: PLC0415
    from aiokafka.errors import KafkaConnectionError  # noqa: PLC0415

    produce = aiokafka.AIOKafkaProducer.send_and_wait
    poll, commit = aiokafka.AIOKafkaConsumer.getmany, aiokafka.AIOKafkaConsumer.commit

    def lost() -> Exception:
        return KafkaConnectionError("Connection closed")

    async def producing(self: Any, topic: str, *args: Any, **more: Any) -> Any:
        injection = _passes(post, Kind.PRODUCE, topic)
        if injection is None:
            return await produce(self, topic, *args, **more)
        return await strike.around(injection, lambda: produce(self, topic, *args, **more), cut=lambda: None, lost=lost)

    async def polling(self: Any, *partitions: Any, **more: Any) -> Any:
        batches = await poll(self, *partitions, **more)
        if any(batches.values()):
            injection = _passes(post, Kind.POLL, next(iter(batches)).topic)
            if injection and injection.fault is Fault.KILLED_AFTER:
                strike.kill(injection)
            if injection and injection.fault is Fault.DUPLICATED:
                for partition, records in batches.items():
                    self.seek(partition, records[0].offset)
                injection.carried_out()
        return batches

    async def committing(self: Any, offsets: Any = None) -> None:
        injection = _passes(post, Kind.OFFSETS, "commit")
        if injection is None:
            return await commit(self, offsets)
        return await strike.around(injection, lambda: commit(self, offsets), cut=lambda: None, lost=lost)

    aiokafka.AIOKafkaProducer.send_and_wait = producing
    aiokafka.AIOKafkaConsumer.getmany, aiokafka.AIOKafkaConsumer.commit = polling, committing


def _aiohttp(post: Post) -> None:
    import aiohttp  # noqa: PLC0415
    from yarl import URL  # noqa: PLC0415

    request = aiohttp.ClientSession._request

    async def requesting(self: Any, method: str, url: Any, **more: Any) -> Any:
        at = URL(url)
        about = api_request(method, at.path, at.query_string)
        injection = None if about is None else _passes(post, *about)
        if injection is None:
            return await request(self, method, url, **more)
        return await strike.around(
            injection,
            lambda: request(self, method, url, **more),
            cut=lambda: None,
            lost=aiohttp.ServerDisconnectedError,
        )

    aiohttp.ClientSession._request = requesting


_LIBRARIES: dict[str, Callable[[Post], None]] = {
    "asyncpg": _asyncpg,
    "grpc.aio": _grpc,
    "pymongo.synchronous.pool": _pymongo,
    "redis.asyncio.connection": _redis,
    "aiokafka": _aiokafka,
    "aiohttp": _aiohttp,
}
