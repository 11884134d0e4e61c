"""A JSON response whose body is ready: it goes out with its head in one piece, for a third of what `web.Response` costs.

`web.Response` knows text, charsets, compression, cookies, chunks and ranges. An answer of ours is bytes that are there.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from email.utils import formatdate

from aiohttp import HttpVersion10, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from services.chassis.response_hook import ResponseHook

JSON = "application/json"
SERVER = "cartwright"
"""The Server header of every answer. It names no version, so that nobody can look for those with a known hole."""


class ReadyResponse(web.StreamResponse):
    """A response with a JSON body, and headers of its own if it has any. Its status must be one that has a body."""

    _keeps_alive: bool | None = None
    _writer: AbstractStreamWriter | None = None
    _has_body = True

    def __init__(self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status=status, headers=headers)
        self.body = body

    @property
    def prepared(self) -> bool:
        """Whether its headers are complete."""
        return self._writer is not None

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays open; None if the request is not known yet."""
        return super().keep_alive if self._keeps_alive is None else self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Complete the headers, run the hooks of the application, and write the head."""
        if self._writer is not None:
            return self._writer
        headers = self._described()
        if isinstance(request, web.Request):
            for hook in request.app.on_response_prepare:
                if isinstance(hook, ResponseHook):
                    hook.apply(request.transport, self)
                else:
                    await hook(request, self)
        self._keeps_alive = super().keep_alive is None and request.keep_alive
        version = request.version
        if not self._keeps_alive:
            headers[hdrs.CONNECTION] = "close"
        elif version == HttpVersion10:
            headers[hdrs.CONNECTION] = "keep-alive"
        self._has_body = request.method != hdrs.METH_HEAD
        self._writer = request.writer
        await self._writer.write_headers(f"HTTP/{version.major}.{version.minor} {self.status} {self.reason}", headers)
        return self._writer

    def to_bytes(self, transport: asyncio.BaseTransport, hooks: Sequence[ResponseHook]) -> bytes:
        """Return the whole response to a GET of HTTP/1.1 whose client keeps the connection, its headers completed by hooks."""
        headers = self._described()
        for hook in hooks:
            hook.apply(transport, self)
        self._keeps_alive = super().keep_alive is None
        if not self._keeps_alive:
            headers[hdrs.CONNECTION] = "close"
        lines = "\r\n".join(map(": ".join, headers.items()))
        breaks = len(headers) - 1
        if lines.count("\r") != breaks or lines.count("\n") != breaks:
            raise ValueError("a header of a response has a line break")
        return f"HTTP/1.1 {self.status} {self.reason}\r\n{lines}\r\n\r\n".encode() + self.body

    def _described(self) -> CIMultiDict[str]:
        """Return the headers, with those that every response has."""
        headers = self.headers
        headers[hdrs.CONTENT_TYPE] = JSON
        headers[hdrs.CONTENT_LENGTH] = str(len(self.body))
        headers[hdrs.DATE] = _date()
        return headers

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - aiohttp gives none
        """Write the body, which ends the response."""
        if self._writer is not None:
            if self._has_body:
                await self._writer.write_eof(self.body)
            else:
                await self._writer.write_eof()


_date_of: tuple[int, str] = (0, "")


def _date() -> str:
    """Return the time as HTTP writes it (RFC 9110, section 5.6.7). It is made once a second."""
    global _date_of  # noqa: PLW0603 - a value that depends on the time alone
    now = int(time.time())
    if _date_of[0] != now:
        _date_of = (now, formatdate(now, usegmt=True))
    return _date_of[1]
