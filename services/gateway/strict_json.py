"""JSON objects out of request bodies, read strictly: what two readers could understand differently is refused.

It keeps RFC 8259 and the rule of I-JSON (RFC 7493) that no member occurs twice. Errors are in our words and quote at most the
name of a member.
"""

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from services.error_codes import ErrorCode
from services.errors import Invalid

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAX_SHOWN = 64  # characters of a member's name in an error
_MAX_DIGITS = 20  # of a 64-bit integer, its sign included
HUGE: int = 10**_MAX_DIGITS
"""Stands for every integer that has too many digits for 64 bits: it is out of all bounds, and cheap to handle."""


def members(raw: bytes) -> dict[str, Any]:
    """Return the members of the JSON object in `raw`; numbers with a fraction or an exponent are Decimals.

    Raises Invalid for anything else: no UTF-8, a byte order mark, no JSON, NaN, too deep nesting, a member that occurs twice
    at any depth, text after the object, or another value than an object.
    """
    if raw.startswith(_BYTE_ORDER_MARK):
        raise Invalid("the body must not begin with a byte order mark", code=ErrorCode.BODY_INVALID)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise Invalid("the body must be UTF-8", code=ErrorCode.BODY_INVALID) from error
    except json.JSONDecodeError as error:
        raise Invalid(
            f"the body is not valid JSON: see character {error.pos + 1}", code=ErrorCode.BODY_INVALID
        ) from error
    except RecursionError as error:
        raise Invalid("the body is nested too deeply", code=ErrorCode.BODY_INVALID) from error
    if not isinstance(value, dict):
        raise Invalid("the body must be a JSON object", code=ErrorCode.BODY_INVALID)
    return value


def integer(value: object) -> int | None:
    """Return the integer that a JSON number stands for, or None if it is no integer.

    A number whose fraction is zero is an integer, such as 1.0 and 1e2 (JSON Schema 2020-12, validation, section 6.1.1).
    """
    if isinstance(value, Decimal):
        if value.copy_abs() >= HUGE:
            return -HUGE if value.is_signed() else HUGE
        whole = value == value.to_integral_value()
        return int(value) if whole else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def quoted(name: str) -> str:
    """Return a member's name as an error shows it: in quotes, in ASCII, and not longer than needed to find it."""
    return json.dumps(name if len(name) <= _MAX_SHOWN else name[:_MAX_SHOWN] + "...")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Invalid(f"the field {quoted(name)} occurs more than once", code=ErrorCode.FIELD_REPEATED)
    return found


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        return -HUGE if text.startswith("-") else HUGE
    return int(text)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        exponent = text.lower().partition("e")[2]
        return Decimal("0.5" if exponent.startswith("-") else HUGE)


def _refuse_constant(name: str) -> NoReturn:
    raise Invalid(f"the body is not valid JSON: it has no number {name}", code=ErrorCode.BODY_INVALID)
