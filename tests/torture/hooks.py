"""Stands in the client libraries of a process, so that every outgoing call passes a point: a fault can strike at it.

The libraries are the one place that every call passes, also one that nobody has thought of. Nothing in the product knows of this.
"""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.torture import strike
from tests.torture.orders import Post
from tests.torture.points import Fault, Kind, Point, api_request, mongo_command, redis_command, statement

ROOT = str(Path(__file__).resolve().parents[2])


def install(post: Post) -> None:
    """Stand in the libraries that this process has imported."""
    for library, stand in _LIBRARIES.items():
        if library in sys.modules:
            stand(post)


def _passes(post: Post, kind: Kind, what: str) -> Fault | None:
    """Pass a point; do here what happens before the call, and return the fault for the rest."""
    fault = post.passes(str(Point(post.part, kind, what)))
    if fault is not None:
        strike.before(fault, kind, post.stores)
    return fault


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
            fault = _passes(post, Kind.SQL, f"{function}: {what}")
            if fault is None:
                return await original(self, query, *args, **more)
            return await strike.around(
                fault,
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
        fault = _passes(post, Kind.RPC, f"{service.rpartition('.')[2]}.{method}")
        if fault is None:
            return original(self, request, **more)
        given_up = grpc.StatusCode.DEADLINE_EXCEEDED if fault is Fault.LATE else grpc.StatusCode.UNAVAILABLE

        def lost() -> Exception:
            return grpc.aio.AioRpcError(given_up, grpc.aio.Metadata(), grpc.aio.Metadata(), "Socket closed")

        return strike.around(fault, lambda: original(self, request, **more), cut=lambda: None, lost=lost)

    callable_.__call__ = hooked


def _pymongo(post: Post) -> None:
    connection = sys.modules["pymongo.synchronous.pool"].Connection
    send, receive = connection.send_message, connection.receive_message

    def sending(self: Any, message: bytes, size: int) -> None:
        command = mongo_command(message)
        self.fault = None if command is None else _passes(post, Kind.MONGO, command)
        if self.fault is Fault.REFUSED:
            self._raise_connection_failure(ConnectionResetError("connection reset by peer"))
        send(self, message, size)

    def receiving(self: Any, request_id: int | None) -> Any:
        fault, self.fault = getattr(self, "fault", None), None
        reply = receive(self, request_id)
        if fault is Fault.KILLED_AFTER:
            strike.kill()
        if fault is Fault.LOST:
            self._raise_connection_failure(ConnectionResetError("connection reset by peer"))
        return reply

    connection.send_message, connection.receive_message = sending, receiving


def _redis(post: Post) -> None:
    connection = sys.modules["redis.asyncio.connection"].AbstractConnection
    send, receive = connection.send_packed_command, connection.read_response
    broken = sys.modules["redis.exceptions"].ConnectionError

    async def sending(self: Any, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - the library's
        packed = command if isinstance(command, bytes) else b"".join(command)
        what = redis_command(packed)
        self.fault = None if what is None else _passes(post, Kind.REDIS, what)
        if self.fault is Fault.REFUSED:
            await self.disconnect(nowait=True)
            raise broken("Connection closed by server.")
        await send(self, packed, check_health)

    async def receiving(self: Any, *args: Any, **more: Any) -> Any:
        fault, self.fault = getattr(self, "fault", None), None
        reply = await receive(self, *args, **more)
        if fault is Fault.KILLED_AFTER:
            strike.kill()
        if fault is Fault.LOST:
            await self.disconnect(nowait=True)
            raise broken("Connection closed by server.")
        return reply

    connection.send_packed_command, connection.read_response = sending, receiving


def _aiokafka(post: Post) -> None:  # noqa: C901 - three methods, each with a hook
    import aiokafka  # noqa: PLC0415
    from aiokafka.errors import KafkaConnectionError  # noqa: PLC0415

    produce = aiokafka.AIOKafkaProducer.send_and_wait
    poll, commit = aiokafka.AIOKafkaConsumer.getmany, aiokafka.AIOKafkaConsumer.commit

    def lost() -> Exception:
        return KafkaConnectionError("Connection closed")

    async def producing(self: Any, topic: str, *args: Any, **more: Any) -> Any:
        fault = _passes(post, Kind.PRODUCE, topic)
        if fault is None:
            return await produce(self, topic, *args, **more)
        return await strike.around(fault, lambda: produce(self, topic, *args, **more), cut=lambda: None, lost=lost)

    async def polling(self: Any, *partitions: Any, **more: Any) -> Any:
        batches = await poll(self, *partitions, **more)
        if any(batches.values()):
            fault = _passes(post, Kind.POLL, next(iter(batches)).topic)
            if fault is Fault.KILLED_AFTER:
                strike.kill()
            if fault is Fault.DUPLICATED:
                for partition, records in batches.items():
                    self.seek(partition, records[0].offset)
        return batches

    async def committing(self: Any, offsets: Any = None) -> None:
        fault = _passes(post, Kind.OFFSETS, "commit")
        if fault is None:
            return await commit(self, offsets)
        return await strike.around(fault, lambda: commit(self, offsets), cut=lambda: None, lost=lost)

    aiokafka.AIOKafkaProducer.send_and_wait = producing
    aiokafka.AIOKafkaConsumer.getmany, aiokafka.AIOKafkaConsumer.commit = polling, committing


def _aiohttp(post: Post) -> None:
    import aiohttp  # noqa: PLC0415
    from yarl import URL  # noqa: PLC0415

    request = aiohttp.ClientSession._request

    async def requesting(self: Any, method: str, url: Any, **more: Any) -> Any:
        at = URL(url)
        about = api_request(method, at.path, at.query_string)
        fault = None if about is None else _passes(post, *about)
        if fault is None:
            return await request(self, method, url, **more)
        return await strike.around(
            fault, lambda: request(self, method, url, **more), cut=lambda: None, lost=aiohttp.ServerDisconnectedError
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
