"""What happens to every request: its id and deadline, who asks, a log line, and how a fault becomes a page."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from services import errors
from services.chassis import call
from services.chassis.failures import report
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.console.rendering import Renderer

SECONDS = 4.8
OPEN = ("/health", "/ready", "/metrics", "/static/", "/login", "/logout")
"""What is answered to anybody: it holds nothing of the shop."""
MACHINES = frozenset({"/health", "/ready", "/metrics"})
STREAM = "/events"
"""How the paths end whose answers last as long as the page is open."""

Admit = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Returns None for a person who may use the console, and otherwise the answer for them."""

_WORDS: tuple[tuple[type[errors.Fault], int, str, str], ...] = (
    (errors.NotFound, 404, "Not here", "There is no checkout of this id. Search for it by another of its names."),
    (errors.Invalid, 400, "That cannot be asked for", ""),
    (errors.Conflict, 409, "Not possible now", ""),
    (errors.InternalError, 500, "Something went wrong", "A part of the platform failed. Its log has the details."),
    (errors.Transient, 503, "A part does not answer", "Load the page again in a moment."),
)
_HTTP = {
    404: ("Not here", "There is no such page."),
    403: ("Not sent", ""),
    405: ("Not possible", "This page cannot be used in this way."),
}


class Edge:
    """What requests share."""

    def __init__(self, renderer: Renderer, admit: Admit, log: Logger, metrics: Metrics) -> None:
        self._renderer = renderer
        self._admit = admit
        self._log = log
        self._metrics = metrics

    @web.middleware
    async def around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request."""
        started = time.perf_counter()
        stream = request.path.endswith(STREAM)
        now = call.incoming(request.headers.get("X-Request-Id", ""), "", seconds=None if stream else SECONDS)
        with call.within(now):
            response = await self._answered(request, handler)
            took = time.perf_counter() - started
            resource = request.match_info.route.resource
            label = resource.canonical if resource is not None else "unknown"
            if not stream:
                self._metrics.served.labels(f"{request.method} {label}", str(response.status)).observe(took)
            if label not in MACHINES and not label.startswith("/static"):
                self._log.info(
                    "request", method=request.method, route=label, status=response.status, ms=round(took * 1000, 1)
                )
        return response

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if not request.path.startswith(OPEN) and (refusal := await self._admit(request)):
                return refusal
            return await handler(request)
        except errors.Fault as fault:
            _, status, title, text = next(row for row in _WORDS if isinstance(fault, row[0]))
            return self._message(request, status, title, f"{_sentence(str(fault))} {text}".strip())
        except web.HTTPException as error:
            if error.status < web.HTTPBadRequest.status_code:
                raise
            title, text = _HTTP.get(error.status, ("That did not work", ""))
            return self._message(request, error.status, title, text or _sentence(error.reason))
        except (ConnectionError, TimeoutError):  # the page was closed, or nobody reads what is sent
            return web.Response(status=499)
        except Exception as error:  # noqa: BLE001 - it ends as a page, logged with its traceback and counted
            report(self._log, self._metrics, f"{request.method} {request.path}", error)
            text = f"The console failed unexpectedly. Its log has the details, under the request id {call.current().request_id}."
            return self._message(request, 500, "Something went wrong", text)

    def _message(self, request: web.Request, status: int, title: str, text: str) -> web.StreamResponse:
        return self._renderer.page(request, "message.html", status=status, title=title, text=text)


def _sentence(text: str) -> str:
    """Return a text as a sentence."""
    return f"{text[:1].upper()}{text[1:]}." if text and not text.endswith(".") else text
