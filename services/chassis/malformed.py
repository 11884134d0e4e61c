"""Answers to requests that aiohttp refuses before an application sees them.

aiohttp answers those in plain text that quotes the request, such as the first bytes of a token. Here the answer is JSON, holds
nothing of the request, and is counted.
"""

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import _ErrInfo
from prometheus_client import Counter

from services.chassis.connection import IDLE_SECONDS, PLAIN_READS, Connection, PlainReads
from services.chassis.ready import SERVER
from services.chassis.response_hook import ResponseHook
from services.chassis.telemetry import Metrics
from services.error_codes import ErrorCode

MAX_URL_BYTES = 8 * 1024
"""The longest URL of a request. RFC 9112, section 3, asks for at least 8,000."""
MAX_HEADER_BYTES = 16 * 1024
"""The longest header, its name included: a bearer token of 8 kB fits twice."""
MAX_HEADERS = 128
"""The most headers of a request."""

_VERSIONS = (HttpVersion11, HttpVersion10)
_BAD_VERSION = web.RequestKey("bad_version", bool)
_ANSWERS = {
    HTTPStatus.BAD_REQUEST: ("the request is not well-formed HTTP/1.1", ErrorCode.MALFORMED_HTTP),
    HTTPStatus.REQUEST_URI_TOO_LONG: (f"the URL is longer than {MAX_URL_BYTES // 1024} KiB", ErrorCode.URL_TOO_LONG),
    HTTPStatus.EXPECTATION_FAILED: (
        "the only expectation that is supported is 100-continue",
        ErrorCode.EXPECTATION_UNSUPPORTED,
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"a header is longer than {MAX_HEADER_BYTES // 1024} KiB, or there are more than {MAX_HEADERS} of them",
        ErrorCode.HEADERS_TOO_LARGE,
    ),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("internal error", ErrorCode.INTERNAL_ERROR),
}
"""The text and the code of each answer. Any other status is answered with its phrase and the code of malformed HTTP."""


class Runner(web.AppRunner):
    """Runs an application within the limits above, with the answers of this module and the Server header."""

    def __init__(
        self, app: web.Application, metrics: Metrics, *, idle_seconds: float = IDLE_SECONDS, **options: Any
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,  # no body is taken that is compressed; one could grow without bounds
            max_line_size=MAX_URL_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            **options,
        )
        app.on_response_prepare.append(ResponseHook(_name_server))
        self._idle_seconds = idle_seconds
        self._malformed = metrics.counter(
            "cartwright_malformed_requests_total", "Requests refused before they reached a route.", ("code",)
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        reads, hooks = self.app.get(PLAIN_READS), list(self.app.on_response_prepare)
        fitting = [hook for hook in hooks if isinstance(hook, ResponseHook)]
        if reads is not None and len(fitting) < len(hooks):
            raise TypeError("an application with plain reads has only hooks that are a ResponseHook")
        return _Server(made, self._malformed, reads=reads, hooks=fitting, idle_seconds=self._idle_seconds)


class _Server(web.Server):
    """Makes the protocol of each connection."""

    def __init__(
        self,
        made: web.Server,
        malformed: Counter,
        *,
        reads: PlainReads | None,
        hooks: list[ResponseHook],
        idle_seconds: float,
    ) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory, **made._kwargs)  # noqa: SLF001 - aiohttp has no other way to its options
        self.malformed = malformed
        self._of_connections = {"reads": reads, "hooks": hooks, "idle_seconds": idle_seconds}
        self._handle, self.request_handler = self.request_handler, self._handled
        self._make, self.request_factory = self.request_factory, self._made

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._of_connections, **self._kwargs)

    def refuse(self, status: int) -> web.Response:
        """Return the answer to a malformed request, and count it."""
        self.malformed.labels(str(status)).inc()
        return _answer(status)

    def _made(self, message: Any, *others: Any) -> web.BaseRequest:
        """Make a request; one of an HTTP version that is none of ours is answered in HTTP/1.1."""
        if message.version in _VERSIONS:
            return self._make(message, *others)
        request = self._make(message._replace(version=HttpVersion11, should_close=True), *others)
        request[_BAD_VERSION] = True
        return request

    async def _handled(self, request: web.BaseRequest) -> web.StreamResponse:
        if _BAD_VERSION in request:
            return self.refuse(HTTPStatus.BAD_REQUEST)
        try:
            return await self._handle(request)
        except web.HTTPExpectationFailed as error:  # aiohttp looks at Expect before the middlewares
            return self.refuse(error.status)


class _Protocol(Connection):
    """Speaks HTTP with one client."""

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._refuse = server.refuse

    def parse(self, data: bytes) -> None:
        """Parse what came. If the rest of a body is malformed, the handler that reads it fails instead of waiting for more."""
        reading = self._current_request
        super().parse(data)
        if reading is None or reading.content.is_eof() or not self._messages:
            return
        if isinstance(self._messages[-1][0], _ErrInfo):
            reading.content.set_exception(web.RequestPayloadError("the body is malformed"))
            reading.content.feed_eof()  # so that aiohttp does not wait for the rest of it

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's words, which quote the request
    ) -> web.StreamResponse:
        """Return the answer to what no application answered; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has been begun already")
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.logger.error("unexpected failure", exc_info=exc)
            response = _answer(status)
        else:
            response = self._refuse(_status_of(exc) if exc else status)
        response.force_close()
        return response


def _status_of(error: BaseException) -> int:
    """Return the status for what aiohttp's parser says is wrong with a request."""
    if isinstance(error, LineTooLong):  # of the URL and of headers alike, told apart by the limit: (line, limit, size)
        url = str(error.args[1]) == str(MAX_URL_BYTES)
        return HTTPStatus.REQUEST_URI_TOO_LONG if url else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    if isinstance(error, BadHttpMessage) and error.message.startswith("Too many headers"):
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE  # the parser has no type for it
    return HTTPStatus.BAD_REQUEST


def _answer(status: int) -> web.Response:
    phrase = HTTPStatus(status).phrase.lower()
    text, code = _ANSWERS.get(HTTPStatus(status), (phrase, ErrorCode.MALFORMED_HTTP))
    body = msgspec.json.encode({"error": text, "code": code.value})
    return web.Response(body=body, status=status, content_type="application/json", headers={"Server": SERVER})


def _name_server(_: object, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER
