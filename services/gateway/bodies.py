"""What requests may hold: strict bodies, ids in paths, the idempotency key."""

import asyncio
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from services.errors import Invalid
from services.gateway import ids

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0  # enough for so little on any line; who sends slower holds a place for nothing
MAX_KEY = 255
INT32 = 2**31 - 1

B = TypeVar("B")


class AddItem(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of POST /api/v1/cart/items."""

    product_id: int
    quantity: int


class SetQuantity(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of PUT /api/v1/cart/items/{product_id}."""

    quantity: int


class StartCheckout(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of POST /api/v1/checkout."""

    idempotency_key: str = ""


async def read(request: web.Request, kind: type[B]) -> B:
    """Read a JSON body, none being an empty object; Invalid says what is wrong with it."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = (await request.read()).strip() or b"{}"
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(reason=f"the body was not there within {BODY_SECONDS:g} s") from error
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body is not as it should be: {error}") from error


def bounded(quantity: int) -> int:
    """Give a quantity that fits a message; what is out of bounds stays so."""
    return max(-1, min(quantity, INT32))


def product_id(text: Any) -> int:
    """Give a product's id; Invalid for what is none."""
    value = ids.positive(str(text))
    if value is None:
        raise Invalid("a product's id is a positive integer")
    return value


def key(header: str | None, body: str) -> str:
    """Give the idempotency key out of the header or the body; Invalid where it is none, or they differ."""
    if header is not None and body and header != body:
        raise Invalid("the Idempotency-Key header and idempotency_key differ")
    given = body or header or ""
    if not given:
        raise Invalid("idempotency_key is required")
    if len(given) > MAX_KEY or not given.strip() or not given.isprintable():
        raise Invalid("idempotency_key must be 1 to 255 characters, not blank, without control characters")
    return given


def limit(text: str | None) -> int:
    """Give the size of a page; Invalid outside 1 to 100."""
    if text is None:
        return 20
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= 100):  # noqa: PLR2004 - the contract's
        raise Invalid("limit must be between 1 and 100")
    return int(text)
