"""What happens to every request: request id, user, deadline, log line, and how a fault becomes an answer."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from prometheus_client import Histogram

from services import errors
from services.chassis import call, tracing
from services.chassis.connection import PlainReads
from services.chassis.failures import report
from services.chassis.logs import Logger
from services.chassis.plain_read import PlainRead, Recogniser
from services.chassis.telemetry import Metrics
from services.error_codes import ErrorCode
from services.gateway import bodies
from services.gateway.access_log import READS, AccessLog
from services.gateway.admission import PLACE, Admission, Kind, Overloaded, Place
from services.gateway.answers import answer, error_answer, http_answer
from services.gateway.auth import UserOf
from services.gateway.cors import Cors
from services.gateway.headers import REQUEST_ID, SINGLE, TRACEPARENT, agreed, check_single

SECONDS = 4.8
CLIENT_GONE = 499
"""The status under which a request is logged and counted whose client left (nginx's number); nobody receives it."""
USER = web.RequestKey("user", int)
API = "/api/"
"""Where the paths start whose requests have a user."""
CHECKOUT = "/api/v1/checkout"
"""Where the paths of checkouts start."""
CART = "/api/v1/cart"
"""Where the paths of carts start."""
_FAILED = 500
"""Answers from this status on are failures of ours."""
PAGES = frozenset({"/health", "/ready", "/metrics"})
"""The routes that machines ask all the time; they are not logged."""
_REFUSED = web.RequestKey("refused", bool)
"""Set where there was no place for the request; such refusals are not logged one by one."""
QUERY = {"/api/v1/orders": frozenset({"limit", "cursor"})}
"""The query parameters of the routes that have some."""

Asked = web.Request | PlainRead
"""A request, as it was read."""
Handles = Callable[[Any], Awaitable[web.StreamResponse]]
"""Answers a request, or raises a fault or an exception of aiohttp that becomes the answer."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What the edge needs to know of a route, found out once."""

    label: str
    has_user: bool
    query: frozenset[str]
    logged: bool
    reads: Kind = Kind.OTHER
    writes: Kind = Kind.OTHER
    exists: bool = True


class Edge:
    """What requests share. Whichever way a request was read, `_serve` answers it."""

    def __init__(
        self,
        user_of: UserOf,
        log: Logger,
        metrics: Metrics,
        origins: frozenset[str] = frozenset(),
        *,
        sample_reads: int,
        max_under_way: int,
    ) -> None:
        """Take what finds the user of a request.

        `origins`: those whose pages may read the answers. `sample_reads`: of so many reads that went well one is logged.
        `max_under_way`: how many requests to the API may be under way at once.
        """
        self._user_of = user_of
        self._admission = Admission(max_under_way, log, metrics)
        self._access = AccessLog(log, sample_reads)
        self._cors = Cors(origins)
        self._log = log
        self._metrics = metrics
        self._routes: dict[web.AbstractResource, _Route] = {}
        self._served: dict[tuple[str, str, int], Histogram] = {}

    @web.middleware
    def around(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        """Answer a request that aiohttp read: the middleware of the application."""
        resource = request.match_info.route.resource
        if resource is None:
            is_api = request.path.startswith(API)
            return self._serve(
                request, handler, _Route("unknown", is_api, frozenset(), logged=True, exists=False), "ANY"
            )
        route = self._routes.get(resource)
        if route is None:
            route = self._routes[resource] = _route(resource.canonical)
        return self._serve(request, handler, route, request.method)

    def plain_reads(self, handlers: Mapping[str, Handles]) -> PlainReads:
        """Return the plain reads of an application: paths without parameters, and what handles a GET of them."""
        known = {path: (handler, _route(path)) for path, handler in handlers.items()}

        def answer(read: PlainRead) -> Awaitable[web.StreamResponse]:
            handler, route = known[read.path]
            return self._serve(read, handler, route, read.method)

        return PlainReads(Recogniser(handlers, (*SINGLE, REQUEST_ID, TRACEPARENT)), answer)

    async def _serve(self, request: Asked, handler: Handles, route: _Route, method: str) -> web.StreamResponse:
        started = time.perf_counter()
        headers = request.headers
        given = agreed(headers, TRACEPARENT)
        recorder = tracing.recorder()
        spans: list[Any] | None = None if recorder is None else []
        now = asked = call.incoming(agreed(headers, REQUEST_ID), given, seconds=SECONDS, spans=spans)
        if recorder is not None:
            now = recorder.enter(asked, from_client=asked.traceparent == given)
        with call.within(now):
            try:
                response = await self._answered(request, handler, route)
            except Exception as error:  # noqa: BLE001 - it ends as 500, logged with its traceback and counted
                report(self._log, self._metrics, f"{method} {route.label}", error)
                response = answer(errors.InternalError())
            self._cors.let_read(headers, response)
            response.headers[REQUEST_ID] = now.request_id
            took = time.perf_counter() - started
            self._count(method, route.label, response.status, took)
            if route.logged and _REFUSED not in request:
                self._access.write(request.method, route.label, request.get(USER), response.status, took)
            if recorder is not None and route.logged:
                failure = str(response.status) if response.status >= _FAILED else None
                if recorder.is_wanted(now, failure, took):
                    recorder.leave(
                        now,
                        name=f"{method} {route.label}",
                        parent_id=asked.span_id if asked.traceparent == given else "",
                        seconds=took,
                        error=failure,
                        attributes=_facts(request, route, response.status),
                    )
        return response

    async def _answered(self, request: Asked, handler: Handles, route: _Route) -> web.StreamResponse:
        try:
            if not isinstance(request, PlainRead) and (preflight := self._cors.preflight(request)):
                return preflight
            if not route.has_user:
                check_single(request.headers)
                _check(request, route)
                return await handler(request)
            with Place(self._admission, route.reads if request.method in READS else route.writes) as place:
                request[PLACE] = place
                check_single(request.headers)
                request[USER] = await self._user_of(request.headers)
                _check(request, route)
                return await handler(request)
        except errors.Fault as fault:
            if isinstance(fault, Overloaded):
                request[_REFUSED] = True
            return answer(fault, is_read=request.method in READS)
        except bodies.ClientGone:
            return error_answer(CLIENT_GONE, "the client has gone", ErrorCode.CLIENT_GONE)
        except web.HTTPException as error:
            return http_answer(error)

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. The labels are looked up once for each route and status, of which there are few."""
        served = self._served.get((method, route, status))
        if served is None:
            served = self._metrics.served.labels(f"{method} {route}", str(status))
            self._served[method, route, status] = served
        served.observe(seconds)


def _route(label: str) -> _Route:
    return _Route(
        label,
        label.startswith(API),
        QUERY.get(label, frozenset()),
        logged=label not in PAGES,
        reads=Kind.CHECKOUT if label.startswith(CHECKOUT) else Kind.OTHER,
        writes=_writes(label),
    )


def _writes(label: str) -> Kind:
    """Return what is asked for by a request of the route that is no read."""
    if label.startswith(CHECKOUT):
        return Kind.PURCHASE
    return Kind.CART_WRITE if label.startswith(CART) else Kind.OTHER


def _facts(request: Asked, route: _Route, status: int) -> dict[str, Any]:
    """Return what the span of a request says of it. Nothing of a header, a query or a body is in it."""
    facts = {"http.request.method": request.method, "http.route": route.label, "http.response.status_code": status}
    user_id = request.get(USER)
    return facts if user_id is None else facts | {"user.id": user_id}


def _check(request: Asked, route: _Route) -> None:
    """Refuse a query parameter that the route does not have, and a Content-Encoding. A plain read has neither.

    `identity` is refused too: RFC 9110 (section 8.4.1) does not want it in a request.
    """
    if isinstance(request, PlainRead) or not route.exists:
        return
    if hdrs.CONTENT_ENCODING in request.headers:
        raise web.HTTPUnsupportedMediaType(reason="a request must not have a Content-Encoding")
    bodies.check_query(request, route.query)
