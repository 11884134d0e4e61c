"""What happens to every request: its id, its user, its deadline, its log line, and how a fault becomes an answer."""

import math
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from services import errors
from services.chassis import call
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.chassis.web import json_response
from services.gateway.auth import UserOf
from services.gateway.tokens import Unauthenticated

SECONDS = 4.8
USER = web.RequestKey("user", int)

_STATUS: tuple[tuple[type[errors.Fault], int], ...] = (
    (Unauthenticated, 401),
    (errors.Invalid, 400),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.Transient, 503),
)


def answer(fault: errors.Fault) -> web.Response:
    """Give the answer that a fault stands for."""
    status = next(status for kind, status in _STATUS if isinstance(fault, kind))
    headers = {}
    if isinstance(fault, errors.Transient):
        headers["Retry-After"] = str(max(1, math.ceil(fault.retry_after)))
    if isinstance(fault, Unauthenticated):
        headers["WWW-Authenticate"] = fault.challenge
    return json_response({"error": str(fault) or "unavailable"}, status=status, headers=headers)


def edge(user_of: UserOf, log: Logger, metrics: Metrics) -> Middleware:
    """Give the middleware."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        headers = request.headers
        now = call.incoming(headers.get("X-Request-Id", ""), headers.get("traceparent", ""), seconds=SECONDS)
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "unknown"
        with call.within(now):
            response = await _answered(request, handler, user_of, log)
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


async def _answered(request: web.Request, handler: Handler, user_of: UserOf, log: Logger) -> web.StreamResponse:
    try:
        if request.path.startswith("/api/"):
            request[USER] = await user_of(request.headers)
        return await handler(request)
    except errors.Fault as fault:
        return answer(fault)
    except web.HTTPRequestEntityTooLarge:
        return json_response({"error": "the body is larger than 16 KiB"}, status=413)
    except web.HTTPMethodNotAllowed as error:
        allowed = {"Allow": ", ".join(sorted(error.allowed_methods))}
        return json_response({"error": "this method is not allowed here"}, status=405, headers=allowed)
    except web.HTTPException as error:
        text = "there is nothing here" if isinstance(error, web.HTTPNotFound) else error.reason
        return json_response({"error": text}, status=error.status)
    except Exception:
        log.exception("unexpected failure", path=request.path)
        return json_response({"error": "internal error"}, status=500)
