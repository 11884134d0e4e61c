"""The middleware of every request: request id, user, deadline, log line, and how a fault becomes an answer."""

import math
import time
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Histogram

from services import errors
from services.chassis import call
from services.chassis.failures import report
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.chassis.web import json_response
from services.gateway import bodies
from services.gateway.access_log import AccessLog
from services.gateway.auth import UserOf
from services.gateway.cors import Cors
from services.gateway.headers import REQUEST_ID, TRACEPARENT, agreed, check_single
from services.gateway.tokens import Unauthenticated

SECONDS = 4.8
CLIENT_GONE = 499
"""The status under which a request is logged and counted whose client left (nginx's number); nobody receives it."""
USER = web.RequestKey("user", int)
API = "/api/"
"""Where the paths start whose requests have a user."""
PAGES = frozenset({"/health", "/ready", "/metrics"})
"""The routes that machines ask all the time; they are not logged."""
QUERY = {"/api/v1/orders": frozenset({"limit", "cursor"})}
"""The query parameters of the routes that have some."""

_STATUS: tuple[tuple[type[errors.Fault], int], ...] = (
    (Unauthenticated, 401),
    (errors.Invalid, 400),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.InternalError, 500),
    (errors.Transient, 503),
)


def answer(fault: errors.Fault) -> web.StreamResponse:
    """Return the answer for a fault."""
    status = next(status for kind, status in _STATUS if isinstance(fault, kind))
    headers = {}
    if isinstance(fault, errors.Transient):
        headers["Retry-After"] = str(max(1, math.ceil(fault.retry_after)))
    if isinstance(fault, Unauthenticated):
        headers["WWW-Authenticate"] = fault.challenge
    body = {"error": str(fault) or "unavailable"}
    if isinstance(fault, errors.InternalError):
        body["request_id"] = call.current().request_id  # what to tell us, so that the failure can be found in the logs
    return json_response(body, status=status, headers=headers)


@dataclass(frozen=True, slots=True)
class _Place:
    """What the edge needs to know of a route, found out once."""

    label: str
    has_user: bool
    query: frozenset[str]
    logged: bool


class _Edge:
    """The middleware, as an object with what requests share."""

    def __init__(self, user_of: UserOf, access: AccessLog, log: Logger, metrics: Metrics, cors: Cors) -> None:
        self._user_of = user_of
        self._access = access
        self._log = log
        self._metrics = metrics
        self._cors = cors
        self._places: dict[web.AbstractResource, _Place] = {}
        self._served: dict[tuple[str, str, int], Histogram] = {}

    @web.middleware
    async def around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request."""
        started = time.perf_counter()
        headers = request.headers
        now = call.incoming(agreed(headers, REQUEST_ID), agreed(headers, TRACEPARENT), seconds=SECONDS)
        resource = request.match_info.route.resource
        place = self._place(request, resource)
        method = request.method if resource else "ANY"
        with call.within(now):
            try:
                response = await self._answered(request, handler, place, known=resource is not None)
            except Exception as error:  # noqa: BLE001 - it ends as 500, logged with its traceback and counted
                report(self._log, self._metrics, f"{method} {place.label}", error)
                response = answer(errors.InternalError())
            self._cors.let_read(request, response)
            response.headers[REQUEST_ID] = now.request_id
            took = time.perf_counter() - started
            self._count(method, place.label, response.status, took)
            if place.logged:
                self._access.write(request.method, place.label, request.get(USER), response.status, took)
        return response

    async def _answered(
        self, request: web.Request, handler: Handler, place: _Place, *, known: bool
    ) -> web.StreamResponse:
        try:
            if request.method == hdrs.METH_OPTIONS and (preflight := self._cors.preflight(request)):
                return preflight
            check_single(request.headers)
            if place.has_user:
                request[USER] = await self._user_of(request.headers)
            if known:
                _check_encoding(request)
                bodies.check_query(request, place.query)
            return await handler(request)
        except errors.Fault as fault:
            return answer(fault)
        except bodies.ClientGone:
            return json_response({"error": "the client has gone"}, status=CLIENT_GONE)
        except web.HTTPException as error:
            return _http_answer(error)

    def _place(self, request: web.Request, resource: web.AbstractResource | None) -> _Place:
        if resource is None:
            return _Place("unknown", request.path.startswith(API), frozenset(), logged=True)
        place = self._places.get(resource)
        if place is None:
            label = resource.canonical
            place = _Place(label, label.startswith(API), QUERY.get(label, frozenset()), logged=label not in PAGES)
            self._places[resource] = place
        return place

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. The labels are looked up once for each route and status, of which there are few."""
        served = self._served.get((method, route, status))
        if served is None:
            served = self._metrics.served.labels(f"{method} {route}", str(status))
            self._served[method, route, status] = served
        served.observe(seconds)


def edge(
    user_of: UserOf,
    log: Logger,
    metrics: Metrics,
    origins: frozenset[str] = frozenset(),
    *,
    sample_reads: int = 1,
) -> Middleware:
    """Return the middleware.

    `origins`: those whose pages may read the answers. `sample_reads`: of so many reads that went well one is logged.
    """
    return _Edge(user_of, AccessLog(log, sample_reads), log, metrics, Cors(origins)).around


def _http_answer(error: web.HTTPException) -> web.StreamResponse:
    """Return the answer for an exception of aiohttp."""
    text, headers = error.reason, {}
    if isinstance(error, web.HTTPNotFound):
        text = "there is nothing here"
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        text = "the body is larger than 16 KiB"
    elif isinstance(error, web.HTTPMethodNotAllowed):
        text, headers["Allow"] = "this method is not allowed here", ", ".join(sorted(error.allowed_methods))
    elif isinstance(error, web.HTTPUnsupportedMediaType):
        headers["Accept-Encoding"] = "identity"
    return json_response({"error": text}, status=error.status, headers=headers)


def _check_encoding(request: web.Request) -> None:
    """Refuse a Content-Encoding, `identity` too, which RFC 9110 (section 8.4.1) does not want in a request."""
    if hdrs.CONTENT_ENCODING in request.headers:
        raise web.HTTPUnsupportedMediaType(reason="a request must not have a Content-Encoding")
