"""How a fault becomes an answer in HTTP."""

import math

from aiohttp import web

from services import errors
from services.chassis import call
from services.chassis.oidc.tokens import Unauthenticated
from services.chassis.web import json_response

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


def http_answer(error: web.HTTPException) -> web.StreamResponse:
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
