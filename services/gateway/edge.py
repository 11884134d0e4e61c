"""The middleware of every request: request id, user, deadline, log line, and how a fault becomes an answer."""

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
from services.gateway.admission import PLACE, Admission, Overloaded, Place
from services.gateway.answers import answer, http_answer
from services.gateway.auth import UserOf
from services.gateway.cors import Cors
from services.gateway.headers import REQUEST_ID, TRACEPARENT, agreed, check_single

SECONDS = 4.8
CLIENT_GONE = 499
"""The status under which a request is logged and counted whose client left (nginx's number); nobody receives it."""
USER = web.RequestKey("user", int)
API = "/api/"
"""Where the paths start whose requests have a user."""
CHECKOUT = "/api/v1/checkout"
"""Where the paths of checkouts start."""
PAGES = frozenset({"/health", "/ready", "/metrics"})
"""The routes that machines ask all the time; they are not logged."""
_REFUSED = web.RequestKey("refused", bool)
"""Set where there was no place for the request; such refusals are not logged one by one."""
QUERY = {"/api/v1/orders": frozenset({"limit", "cursor"})}
"""The query parameters of the routes that have some."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What the edge needs to know of a route, found out once."""

    label: str
    has_user: bool
    query: frozenset[str]
    logged: bool
    checkout: bool = False


class _Edge:
    """The middleware, as an object with what requests share."""

    def __init__(
        self, user_of: UserOf, log: Logger, metrics: Metrics, *, admission: Admission, access: AccessLog, cors: Cors
    ) -> None:
        self._user_of = user_of
        self._admission = admission
        self._access = access
        self._cors = cors
        self._log = log
        self._metrics = metrics
        self._routes: dict[web.AbstractResource, _Route] = {}
        self._served: dict[tuple[str, str, int], Histogram] = {}

    @web.middleware
    async def around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request."""
        started = time.perf_counter()
        headers = request.headers
        now = call.incoming(agreed(headers, REQUEST_ID), agreed(headers, TRACEPARENT), seconds=SECONDS)
        resource = request.match_info.route.resource
        route = self._route(request, resource)
        method = request.method if resource else "ANY"
        with call.within(now):
            try:
                response = await self._answered(request, handler, route, known=resource is not None)
            except Exception as error:  # noqa: BLE001 - it ends as 500, logged with its traceback and counted
                report(self._log, self._metrics, f"{method} {route.label}", error)
                response = answer(errors.InternalError())
            self._cors.let_read(request, response)
            response.headers[REQUEST_ID] = now.request_id
            took = time.perf_counter() - started
            self._count(method, route.label, response.status, took)
            if route.logged and _REFUSED not in request:
                self._access.write(request.method, route.label, request.get(USER), response.status, took)
        return response

    async def _answered(
        self, request: web.Request, handler: Handler, route: _Route, *, known: bool
    ) -> web.StreamResponse:
        try:
            if request.method == hdrs.METH_OPTIONS and (preflight := self._cors.preflight(request)):
                return preflight
            if not route.has_user:
                return await self._checked(request, handler, route, known=known)
            with Place(self._admission, checkout=route.checkout) as place:
                request[PLACE] = place
                return await self._checked(request, handler, route, known=known)
        except errors.Fault as fault:
            if isinstance(fault, Overloaded):
                request[_REFUSED] = True
            return answer(fault)
        except bodies.ClientGone:
            return json_response({"error": "the client has gone"}, status=CLIENT_GONE)
        except web.HTTPException as error:
            return http_answer(error)

    async def _checked(
        self, request: web.Request, handler: Handler, route: _Route, *, known: bool
    ) -> web.StreamResponse:
        check_single(request.headers)
        if route.has_user:
            request[USER] = await self._user_of(request.headers)
        if known:
            _check_encoding(request)
            bodies.check_query(request, route.query)
        return await handler(request)

    def _route(self, request: web.Request, resource: web.AbstractResource | None) -> _Route:
        if resource is None:
            return _Route("unknown", request.path.startswith(API), frozenset(), logged=True)
        route = self._routes.get(resource)
        if route is None:
            label = resource.canonical
            route = _Route(
                label,
                label.startswith(API),
                QUERY.get(label, frozenset()),
                logged=label not in PAGES,
                checkout=label.startswith(CHECKOUT),
            )
            self._routes[resource] = route
        return route

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
    max_under_way: int = 512,
) -> Middleware:
    """Return the middleware.

    `origins`: those whose pages may read the answers. `sample_reads`: of so many reads that went well one is logged.
    `max_under_way`: how many requests to the API may be under way at once.
    """
    return _Edge(
        user_of,
        log,
        metrics,
        admission=Admission(max_under_way, log, metrics),
        access=AccessLog(log, sample_reads),
        cors=Cors(origins),
    ).around


def _check_encoding(request: web.Request) -> None:
    """Refuse a Content-Encoding, `identity` too, which RFC 9110 (section 8.4.1) does not want in a request."""
    if hdrs.CONTENT_ENCODING in request.headers:
        raise web.HTTPUnsupportedMediaType(reason="a request must not have a Content-Encoding")
