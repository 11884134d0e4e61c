"""A client's connection: it answers plain reads itself, and gives everything else to aiohttp.

aiohttp's parser, request, router and response cost more than a cached read does. The order of the answers holds, since a
plain read begins only while aiohttp has nothing of this connection to answer, and what arrives while one is under way is
held until it has been answered (docs/decisions/0008-plain-reads.md).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http import StreamWriter

from services.chassis.plain_read import PlainRead, is_whole_request
from services.chassis.ready import ReadyResponse
from services.chassis.response_hook import ResponseHook

IDLE_SECONDS = 3630.0
"""How long a connection may be idle. It is aiohttp's default, which is longer than the proxies in front of a server wait, so
that it is they who close an idle connection, and no request meets one that is just being closed."""
_NEVER = 100 * 365 * 86_400.0
"""aiohttp's own limit on idle connections, in seconds. It does not count plain reads, so it must not close anything."""


@dataclass(frozen=True, slots=True)
class PlainReads:
    """The plain reads of an application: what recognises one in the bytes received, and what answers it."""

    recognise: Callable[[bytes], PlainRead | None]
    answer: Callable[[PlainRead], Awaitable[web.StreamResponse]]
    """Returns a ReadyResponse. It does not raise: its failures are answers too."""


PLAIN_READS = web.AppKey("plain_reads", PlainReads)
"""Where an application keeps its plain reads, if it has any."""


class Connection(web.RequestHandler):
    """Speaks HTTP with one client."""

    def __init__(
        self,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        reads: PlainReads | None,
        hooks: Sequence[ResponseHook],
        idle_seconds: float = IDLE_SECONDS,
        **options: Any,
    ) -> None:
        """Take the plain reads of the application, and the hooks that complete the headers of their answers."""
        super().__init__(server, loop=loop, keepalive_timeout=_NEVER, **options)
        self._events = loop
        self._reads = reads
        """None once the connection begins no plain read any more: it is being closed, or it is not certain where a request begins."""
        self._hooks = hooks
        self._outstanding = 0
        """How many requests aiohttp was given and has not answered. It is exact while `_reads` is not None."""
        self._read: asyncio.Task[None] | None = None
        """The plain read under way."""
        self._held: list[bytes] = []
        """What arrived during it."""
        self._repeated: tuple[bytes, PlainRead] | None = None
        """The last plain read and its bytes: a client that keeps its connection tends to send the same ones again."""
        self._idle_seconds = idle_seconds
        self._active_at = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        return self._read is not None or self._current_request is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._active_at = self._events.time()
        self._idle_timer = self._events.call_later(self._idle_seconds, self._close_if_idle)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End. A plain read under way goes on, and is logged and counted, as it would be in aiohttp."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer the plain read that came, or give what came to aiohttp."""
        if not data:  # aiohttp asks itself to go on
            self.parse(data)
            return
        self._active_at = self._events.time()
        if self._read is not None:
            self._held.append(data)
            if self.transport is not None:
                self.transport.pause_reading()
            return
        if self._reads is not None:
            if not self._outstanding and (read := self._recognise(self._reads, data)) is not None:
                self._read = self._events.create_task(self._answer(self._reads, read))
                return
            self._outstanding += 1
            if not is_whole_request(data):
                self._reads = None
        self.parse(data)

    def parse(self, data: bytes) -> None:
        """Give bytes to aiohttp."""
        super().data_received(data)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer of aiohttp. Returns it, and whether the client has left."""
        response, is_lost = await super().finish_response(request, resp, start_time)
        self._active_at = self._events.time()
        self._outstanding -= 1
        if is_lost or not response.keep_alive or self._outstanding < 0:
            self._reads = None
        return response, is_lost

    def close(self) -> None:
        """Begin nothing more, and close the connection once what is under way has been answered."""
        self._reads = None
        super().close()

    def force_close(self) -> None:
        """Close the connection now; what has been written is still sent."""
        self._reads = None
        super().force_close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Close the connection once what is under way has been answered, after `timeout` seconds at most."""
        self._reads = None
        if (read := self._read) is not None:
            await asyncio.wait({read}, timeout=timeout)
            read.cancel()
        await super().shutdown(timeout)

    def _recognise(self, reads: PlainReads, data: bytes) -> PlainRead | None:
        if self._repeated is not None and self._repeated[0] == data:
            return self._repeated[1].again()
        read = reads.recognise(data)
        if read is not None:
            self._repeated = (data, read)
        return read

    async def _answer(self, reads: PlainReads, read: PlainRead) -> None:
        try:
            response = await reads.answer(read)
            if not isinstance(response, ReadyResponse):
                raise TypeError(f"a plain read was answered with {type(response).__name__}")  # noqa: TRY301 - ends like any other failure
            self._write(response)
            if self.writing_paused:  # the client does not read: there is no next answer before it does
                with suppress(ConnectionError):
                    await StreamWriter(self, self._events).drain()
        except Exception:
            self.logger.exception("unexpected failure")
            self.force_close()
        finally:
            self._read = None
            self._go_on()

    def _write(self, response: ReadyResponse) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if (
            self._reads is None
        ):  # it is being closed: nothing else happens during a plain read, since what arrives is held
            response.force_close()
        transport.write(response.to_bytes(transport, self._hooks))
        self._active_at = self._events.time()
        if not response.keep_alive:
            self.force_close()

    def _go_on(self) -> None:
        """Receive what arrived during a plain read. If another one begins with it, the rest is kept again."""
        held, self._held = self._held, []
        if held and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            for data in held:
                self.data_received(data)

    def _close_if_idle(self) -> None:
        left = self._active_at + self._idle_seconds - self._events.time()
        if self.is_busy:
            left = self._idle_seconds
        if left > 0:
            self._idle_timer = self._events.call_later(left, self._close_if_idle)
        else:
            self.force_close()
