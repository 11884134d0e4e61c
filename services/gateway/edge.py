"""The middleware of every request: request id, user, deadline, log line, and how a fault becomes an answer."""

import math
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from services import errors
from services.chassis import call
from services.chassis.failures import report
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.chassis.web import json_response
from services.gateway import bodies
from services.gateway.auth import UserOf
from services.gateway.cors import Cors
from services.gateway.headers import agreed, check_single
from services.gateway.tokens import Unauthenticated

SECONDS = 4.8
CLIENT_GONE = 499
"""The status under which a request is logged and counted whose client left (nginx's number); nobody receives it."""
USER = web.RequestKey("user", int)
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


def answer(fault: errors.Fault) -> web.Response:
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


def edge(user_of: UserOf, log: Logger, metrics: Metrics, origins: frozenset[str] = frozenset()) -> Middleware:
    """Return the middleware. `origins`: those whose pages may read the answers."""
    cors = Cors(origins)

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        headers = request.headers
        now = call.incoming(agreed(headers, "X-Request-Id"), agreed(headers, "traceparent"), seconds=SECONDS)
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "unknown"
        with call.within(now):
            try:
                response = cors.preflight(request) or await _answered(request, handler, user_of)
            except Exception as error:  # noqa: BLE001 - it ends as 500, logged with its traceback and counted
                report(log, metrics, f"{request.method if resource else 'ANY'} {route}", error)
                response = answer(errors.InternalError())
            cors.let_read(request, response)
            took = time.perf_counter() - started
            response.headers["X-Request-Id"] = now.request_id
            metrics.served.labels(f"{request.method if resource else 'ANY'} {route}", str(response.status)).observe(
                took
            )
            if route not in {"/health", "/ready", "/metrics"}:
                log.info(
                    "http",
                    method=request.method,
                    route=route,
                    user=request.get(USER),
                    status=response.status,
                    ms=round(took * 1000, 2),
                )
        return response

    return around


async def _answered(request: web.Request, handler: Handler, user_of: UserOf) -> web.StreamResponse:
    try:
        check_single(request.headers)
        if request.path.startswith("/api/"):
            request[USER] = await user_of(request.headers)
        resource = request.match_info.route.resource
        if resource is not None:
            _check_encoding(request)
            bodies.check_query(request, QUERY.get(resource.canonical, frozenset()))
        return await handler(request)
    except errors.Fault as fault:
        return answer(fault)
    except bodies.ClientGone:
        return json_response({"error": "the client has gone"}, status=CLIENT_GONE)
    except web.HTTPException as error:
        return _http_answer(error)


def _http_answer(error: web.HTTPException) -> web.Response:
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
    if "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType(reason="a request must not have a Content-Encoding")
