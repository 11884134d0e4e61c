"""Takes out of a text what must not be in a log: tokens, passwords of URLs, and values that a database quotes.

What we write ourselves never holds them. This is for the errors of libraries, whose texts quote what they were given.
"""

import re

LEFT_OUT = "[left out]"
_SECRETS = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[^\s'\",]+"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|(?P<url>://)[^\s/@'\"]+@"
    # PostgreSQL's DETAIL quotes the row, such as `Key (idempotency_key)=(k) already exists`; asyncpg quotes an argument.
    r"|(?P<detail>\bDETAIL:\s+).*"
    r"|(?P<argument>\binvalid input for query argument \$\d+: ).*",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Return the text with LEFT_OUT in the place of each secret."""
    return _SECRETS.sub(_left_out, text)


def _left_out(found: re.Match[str]) -> str:
    before = next((part for part in found.groups() if part is not None), "")
    return f"{before}{LEFT_OUT}" + ("@" if found["url"] else "")
