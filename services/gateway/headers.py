"""Request headers that must say one thing only."""

import re

from multidict import MultiMapping, istr

from services.error_codes import ErrorCode
from services.errors import Invalid

# An istr is a name that need not be folded again for each request.
IDEMPOTENCY_KEY = istr("Idempotency-Key")
REQUEST_ID, TRACEPARENT = istr("X-Request-Id"), istr("traceparent")
SINGLE = (istr("Authorization"), istr("X-User-Id"), IDEMPOTENCY_KEY)
"""Of these a proxy and the gateway could read different ones, if there were two that differ."""

_SF_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')  # RFC 9651, section 4.2.5
_BARE = re.compile(r'[^\x00-\x1f",\x7f-\U0010ffff]*')


def check_single(headers: MultiMapping[str]) -> None:
    """Raise Invalid if one of SINGLE occurs with different values. The same value twice counts as one."""
    for name in SINGLE:
        if name in headers and len(set(headers.getall(name))) > 1:
            raise Invalid(f"there are {name} headers that differ: send one", code=ErrorCode.HEADER_REPEATED)


def agreed(headers: MultiMapping[str], name: str) -> str:
    """Return the value of a header that no request fails for; empty if it is absent, or if there are two that differ."""
    if name not in headers:
        return ""
    values = set(headers.getall(name))
    return values.pop() if len(values) == 1 else ""


def idempotency_key(headers: MultiMapping[str]) -> str | None:
    r"""Return the key of the Idempotency-Key header, or None if there is no such header. Raises Invalid if it is malformed.

    The header is a structured-field string (draft-ietf-httpapi-idempotency-key-header): `"k"` is the key `k`, with `\"` and
    `\\` for a quote and a backslash. Without quotes the whole value is the key. Such a bare key has no quote and no comma,
    since a proxy joins repeated headers with commas, and is ASCII, since clients encode other characters differently.
    """
    value = headers.get(IDEMPOTENCY_KEY)
    if value is None:
        return None
    if string := _SF_STRING.fullmatch(value):
        return re.sub(r"\\(.)", r"\1", string[1])
    if value.startswith('"') or not _BARE.fullmatch(value):
        raise Invalid(
            f'the {IDEMPOTENCY_KEY} header is malformed: send the key in quotes, with \\" for a quote and \\\\ for a'
            " backslash; a key that is not ASCII goes in the body",
            code=ErrorCode.IDEMPOTENCY_KEY_INVALID,
        )
    return value
