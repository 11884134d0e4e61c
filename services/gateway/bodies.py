"""Reads what requests hold: bodies, ids in paths, query parameters, the idempotency key."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from services.error_codes import ErrorCode
from services.errors import Invalid
from services.gateway import headers, ids, strict_json
from services.gateway.admission import PLACE
from services.idempotency import KeyRequired, checked_key

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0  # enough for 16 KiB on any line; a slower client would only hold a connection
INT32 = 2**31 - 1
DEFAULT_LIMIT, MAX_LIMIT = 20, 100  # orders on a page

B = TypeVar("B")


class ClientGone(Exception):
    """The client closed its connection in the middle of the body: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class AddItem:
    """The body of POST /api/v1/cart/items."""

    product_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class SetQuantity:
    """The body of PUT /api/v1/cart/items/{product_id}."""

    quantity: int


@dataclass(frozen=True, slots=True)
class StartCheckout:
    """The body of POST /api/v1/checkout."""

    idempotency_key: str | None = None


async def read(request: web.Request, kind: Callable[..., B]) -> B:
    """Read a JSON body into the dataclass `kind`; no body is an empty object. The Content-Type is not looked at.

    Raises Invalid that says what is wrong with the body, ClientGone, or an HTTPException for one that is too large or slow.
    While the client sends the body the request has no place among those under way; Overloaded if there is none after it.
    """
    announced = request.content_length or 0
    if announced > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, announced)
    if request.content.is_eof():
        raw = await _raw(request)
    else:
        request[PLACE].leave()
        raw = await _raw(request)
        request[PLACE].enter()
    return _bound(strict_json.members(raw.strip(b" \t\r\n") or b"{}"), kind)


async def _raw(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(reason=f"the body was not there within {BODY_SECONDS:g} s") from error
    except OSError as error:
        raise ClientGone from error
    except web.RequestPayloadError as error:
        raise Invalid("the body is not well-formed HTTP/1.1", code=ErrorCode.MALFORMED_HTTP) from error


def _bound(members: Mapping[str, Any], kind: Callable[..., B]) -> B:
    """Return `kind` with its fields out of the members; Invalid names the field that is unknown, missing or of another type."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # a dataclass, which no type says
    for name in members:
        if name not in fields:
            raise Invalid(f"the field {strict_json.quoted(name)} is unknown", code=ErrorCode.FIELD_UNKNOWN)
    found = {}
    for name, field in fields.items():
        if name in members:
            found[name] = _integer(name, members[name]) if field.type is int else _text(name, members[name])
        elif field.default is dataclasses.MISSING:
            raise Invalid(f"{name} is required", code=ErrorCode.FIELD_REQUIRED)
    return kind(**found)


def _integer(name: str, value: Any) -> int:
    number = strict_json.integer(value)
    if number is None:
        raise Invalid(f"{name} must be an integer", code=ErrorCode.FIELD_INVALID)
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{name} must be a string", code=ErrorCode.FIELD_INVALID)
    return value


def bounded(quantity: int) -> int:
    """Return a quantity that fits a message; what is out of bounds stays so."""
    return max(-1, min(quantity, INT32))


def product_id(text: Any) -> int:
    """Return a product's id. Raises Invalid for what is none."""
    value = ids.positive(str(text))
    if value is None:
        raise Invalid("a product's id is a positive 64-bit integer", code=ErrorCode.PRODUCT_ID_INVALID)
    return value


def key(request: web.Request, body: StartCheckout) -> str:
    """Return the idempotency key of the header or the body. Raises Invalid if it is missing or malformed, or if they differ."""
    in_header = headers.idempotency_key(request.headers)
    if in_header is not None and body.idempotency_key is not None and in_header != body.idempotency_key:
        raise Invalid("the Idempotency-Key header and idempotency_key differ", code=ErrorCode.IDEMPOTENCY_KEY_MISMATCH)
    given = body.idempotency_key if in_header is None else in_header
    if given is None:
        raise KeyRequired
    return checked_key(given)


def check_query(request: web.Request, known: frozenset[str]) -> None:
    """Raise Invalid for a query parameter that is unknown or occurs more than once."""
    if not request.rel_url.raw_query_string:
        return
    names = [name for name, _ in request.query.items()]  # its keys are each name once
    for name in names:
        if name not in known:
            raise Invalid(
                f"the query parameter {strict_json.quoted(name)} is unknown", code=ErrorCode.PARAMETER_UNKNOWN
            )
        if names.count(name) > 1:
            raise Invalid(
                f"the query parameter {strict_json.quoted(name)} occurs more than once",
                code=ErrorCode.PARAMETER_REPEATED,
            )


def limit(text: str | None) -> int:
    """Return the size of a page. Raises Invalid outside 1 to 100."""
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_LIMIT):  # noqa: PLR2004 - digits of the largest
        raise Invalid(f"limit must be between 1 and {MAX_LIMIT}", code=ErrorCode.PARAMETER_INVALID)
    return int(text)
