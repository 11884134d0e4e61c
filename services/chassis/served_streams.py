"""The server's end of streams that carry calls (`call_streams`): each request is answered before the next one is read.

A server that stops says so on each stream, and serves it until its caller has ended it. If the server ended a stream, a caller
who is just writing a request could not tell whether it was read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc

from services.chassis.call_streams import ACCEPTED

LEAVING = b"\x78\x01"
"""An answer of which only `leaving` is set, field 15 of each type of answer."""


class _Served:
    """A stream of a caller."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self._writing = asyncio.Lock()

    async def write(self, message: bytes) -> None:
        """Send a message; one at a time."""
        async with self._writing:
            await self.context.write(message)

    async def leave(self) -> None:
        """Say that this server stops, if the stream is still there."""
        with suppress(grpc.aio.BaseError, asyncio.InvalidStateError):
            await self.write(LEAVING)


class ServedStreams:
    """The streams that callers keep open to this process."""

    def __init__(self) -> None:
        self._open: set[_Served] = set()
        self._is_leaving = False

    async def leave(self) -> None:
        """Ask all callers to end their streams, those that come later too. Who cannot be told is cut with the connection."""
        self._is_leaving = True
        await asyncio.gather(*(stream.leave() for stream in self._open), return_exceptions=True)

    async def serve(self, context: Any, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer the requests of a stream, until its caller ends it. A failure ends it too, with its status."""
        stream = _Served(context)
        self._open.add(stream)
        try:
            await context.send_initial_metadata((ACCEPTED,))
            if self._is_leaving:
                await stream.leave()
            while (request := await context.read()) is not grpc.aio.EOF:
                await stream.write(await answer(request))
        finally:
            self._open.discard(stream)
