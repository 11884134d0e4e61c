"""The idempotency key: the one rule that the gateway and the checkout service share.

The Checkout resource has the same rule in its schema (crds/checkouts.yaml); tests/keys.py holds all three. Which code points
are assigned depends on the Unicode version of Python here, and of Go in the API server. Where they differ, a key is refused
by one of them, and a refused key never buys anything. Keys are compared code point by code point and are not normalised.
"""

import unicodedata

from services.error_codes import ErrorCode
from services.errors import Invalid

MAX_KEY = 255
"""The most characters (code points) of a key, as in Stripe's API."""

_REFUSED = frozenset({"Cc", "Cs", "Cn"})
"""General categories of Unicode: control characters, surrogates and unassigned code points."""


class KeyRequired(Invalid):
    """A checkout was asked for without an idempotency key."""

    default_code = ErrorCode.IDEMPOTENCY_KEY_REQUIRED

    def __init__(self) -> None:
        super().__init__("idempotency_key is required")


class BadKey(Invalid):
    """The text is not an idempotency key."""

    default_code = ErrorCode.IDEMPOTENCY_KEY_INVALID

    def __init__(self) -> None:
        super().__init__(
            "idempotency_key must be 1 to 255 characters, not blank,"
            " without control characters, surrogates and unassigned code points"
        )


def checked_key(key: str) -> str:
    """Return the key unchanged. Raises KeyRequired for an empty key, BadKey for one that breaks the rule."""
    if not key:
        raise KeyRequired
    if len(key) > MAX_KEY or not key.strip() or any(unicodedata.category(one) in _REFUSED for one in key):
        raise BadKey
    return key
