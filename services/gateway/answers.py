"""How a fault becomes an answer in HTTP. Every error answer is made here, or in services/chassis/malformed.py."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from services import errors
from services.chassis import call
from services.chassis.oidc.tokens import Unauthenticated
from services.chassis.web import json_response
from services.error_codes import ErrorCode

_STATUS: tuple[tuple[type[errors.Fault], int], ...] = (
    (Unauthenticated, 401),
    (errors.Invalid, 400),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.InternalError, 500),
    (errors.Transient, 503),
)
_CODE_OF_STATUS = {
    HTTPStatus.NOT_FOUND: ErrorCode.ROUTE_NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: ErrorCode.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_TIMEOUT: ErrorCode.BODY_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ErrorCode.BODY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ErrorCode.CONTENT_ENCODING_UNSUPPORTED,
}
"""The codes of the answers that aiohttp's exceptions stand for."""


def error_answer(
    status: int, text: str, code: ErrorCode, *, headers: Mapping[str, str] | None = None, **more: Any
) -> web.StreamResponse:
    """Return an error answer: `error` for people, `code` for programs, and what else stands beside them."""
    return json_response({"error": text, "code": code.value, **more}, status=status, headers=headers)


def answer(fault: errors.Fault, *, is_read: bool = False, **more: Any) -> web.StreamResponse:
    """Return the answer for a fault. `is_read`: the request changes nothing, so that no outcome of it can be unknown."""
    status = next(status for kind, status in _STATUS if isinstance(fault, kind))
    code, headers = fault.code, {}
    if isinstance(fault, errors.Transient):
        headers["Retry-After"] = str(max(1, math.ceil(fault.retry_after)))
    if is_read and code is ErrorCode.OUTCOME_UNKNOWN:
        code = ErrorCode.SERVICE_UNAVAILABLE
    if isinstance(fault, Unauthenticated):
        headers["WWW-Authenticate"] = fault.challenge
    if isinstance(fault, errors.InternalError):
        more["request_id"] = call.current().request_id  # what to tell us, so that the failure can be found in the logs
    return error_answer(status, str(fault) or "unavailable", code, headers=headers, **more)


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
    code = _CODE_OF_STATUS.get(HTTPStatus(error.status), ErrorCode.INVALID_REQUEST)
    return error_answer(error.status, text, code, headers=headers)
