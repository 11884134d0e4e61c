"""Calls that go over streams which stay open: about half the time and the processor time of a unary call.

A unary call sets up and ends an HTTP/2 stream of its own, with headers both ways. Here a stream carries one call after the
other, never two at once: a request is written, its one answer is read, and the stream is free again. So a slow call holds up
nobody, and a stream that fails fails one call (docs/decisions/0010-calls-on-open-streams.md).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

import grpc

SUFFIX = "Stream"
"""What the name of a streaming method has beside that of the unary method whose calls it carries."""
LEAST_STREAMS = 4
"""So many are opened before one is used again. They take turns, and each is opened to the next replica of a service, so that
replicas share the calls."""
MOST_FREE = 64
"""So many are kept while they carry nothing, since so many charges may be with a provider at once."""
STREAM_CALLS = 64
"""After so many calls a stream is replaced, so that a replica that comes later gets its share soon."""
STREAM_SECONDS = 5.0
"""After so long too: a stream stays on a connection that its server has let go of, and is cut there in the end."""
OPEN_SECONDS = 0.5
"""A server that takes no stream by then gets unary calls. Ours say at once that they do."""
ABSENT_SECONDS = 10.0
"""How long unary calls are made to a service that has no such streams, as one of the release before has not."""
ACCEPTED = ("x-call-stream", "accepted")
"""The header by which a server says that it serves the stream, before it reads a request."""

_NO_METADATA = grpc.aio.Metadata()
_BUSY_OR_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED})
"""How the opening of a stream may end that the service does have."""


class NotSent(Exception):
    """Nothing was written, so the request can be sent otherwise."""


class _Stream:
    """An open stream, and what reads from it. The server may say at any time that it stops."""

    def __init__(self, call: Any, on_leaving: "Callable[[_Stream], None]") -> None:
        self.call = call
        self.calls = 0
        self._opened_at = time.monotonic()
        self._is_leaving = False
        self._on_leaving = on_leaving
        self._answer: asyncio.Future[Any] | None = None
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @property
    def is_usable(self) -> bool:
        """Whether it can carry another call."""
        return (
            not self._is_leaving
            and self.calls < STREAM_CALLS
            and time.monotonic() - self._opened_at < STREAM_SECONDS
            and not self.call.done()
        )

    async def ask(self, request: Any) -> Any:
        """Send a request, and return its answer; one at a time.

        NotSent: the stream had ended before. grpc.RpcError: it ended since, perhaps by a lost connection.
        """
        self.calls += 1
        answer = self._answer = asyncio.get_running_loop().create_future()
        try:
            await self._write(request)
            return await answer
        finally:
            self._answer = None
            if answer.done() and not answer.cancelled():
                answer.exception()  # it was told, or who asked has gone
            answer.cancel()

    async def _write(self, request: Any) -> None:
        try:
            await self.call.write(request)
        except asyncio.InvalidStateError as error:  # grpc.aio says so before it writes
            raise NotSent from error
        except grpc.aio.AioRpcError as error:  # whatever happened, grpc.aio says INTERNAL of a write that failed
            raise _error(grpc.StatusCode.UNAVAILABLE, "the stream was lost") from error

    async def _read(self) -> None:
        error = _error(grpc.StatusCode.UNAVAILABLE, "the stream ended")
        try:
            while (reply := await self.call.read()) is not grpc.aio.EOF:
                if reply is not None and reply.leaving:  # None: it could not be decoded, which a unary call gives too
                    self._leave()
                elif self._answer is not None and not self._answer.done():
                    self._answer.set_result(reply)
        except grpc.aio.AioRpcError as ended:
            error = ended
        finally:
            self._leave()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(error)

    def _leave(self) -> None:
        if not self._is_leaving:
            self._is_leaving = True
            self._on_leaving(self)


class CallStreams:
    """The open streams of one method."""

    def __init__(self, open_stream: Callable[[], Any]) -> None:
        """Take what opens a stream."""
        self._open_stream = open_stream
        self._free: deque[_Stream] = deque()
        self._count = 0
        self._absent_until = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109 - as a unary call has it
        """Send a request, and return its answer.

        NotSent: nothing was written. grpc.RpcError: as of a unary call; DEADLINE_EXCEEDED after `timeout` seconds.
        """
        stream: _Stream | None = None
        if timeout <= 0:
            raise _error(grpc.StatusCode.DEADLINE_EXCEEDED, "there is no time left")
        try:
            async with asyncio.timeout(timeout):
                stream = self._take() or await self._open()
                reply = await stream.ask(request)
        except TimeoutError:
            raise _error(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer came in time") from None
        else:
            self._give_back(stream)
            stream = None
            return reply
        finally:
            if stream is not None:
                self._drop(stream)

    @property
    def _is_absent(self) -> bool:
        return time.monotonic() < self._absent_until

    def _take(self) -> _Stream | None:
        """Return a free stream; None where a new one is to be opened."""
        while self._free and (self._count >= LEAST_STREAMS or self._is_absent):
            stream = self._free.popleft()
            if stream.is_usable:
                return stream
            self._drop(stream)
        return None

    async def _open(self) -> _Stream:
        """Open a stream, and wait until a server has accepted it."""
        if self._is_absent:
            raise NotSent
        call = self._open_stream()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                if ACCEPTED not in tuple(await call.initial_metadata() or ()):
                    self._refused(await call.code())
        except TimeoutError:
            call.cancel()
            self._refused(grpc.StatusCode.UNIMPLEMENTED)
        except BaseException:
            call.cancel()
            raise
        self._count += 1
        return _Stream(call, self._on_leaving)

    def _refused(self, code: grpc.StatusCode) -> NoReturn:
        """Note that the service has no such streams, unless it is only busy or away; raise NotSent."""
        if code not in _BUSY_OR_AWAY:
            self._absent_until = time.monotonic() + ABSENT_SECONDS
        raise NotSent

    def _give_back(self, stream: _Stream) -> None:
        if stream.is_usable and len(self._free) < MOST_FREE:
            self._free.append(stream)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(STREAM_SECONDS, self._expire)
        else:
            self._drop(stream)

    def _expire(self) -> None:
        """End the free streams that are too old. Those of a caller who has fallen quiet would stay for ever."""
        self._timer = None
        for stream in [one for one in self._free if not one.is_usable]:
            self._free.remove(stream)
            self._drop(stream)
        if self._free:
            self._timer = asyncio.get_running_loop().call_later(STREAM_SECONDS, self._expire)

    def _on_leaving(self, stream: _Stream) -> None:
        """Let go of a free stream. One that carries a call is let go of after it: its answer still comes."""
        if stream in self._free:
            self._free.remove(stream)
            self._drop(stream)

    def _drop(self, stream: _Stream) -> None:
        """End a stream. What it still carries goes on at the server, and nobody hears of its answer."""
        self._count -= 1
        stream.call.cancel()


def _error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, _NO_METADATA, _NO_METADATA, details)
