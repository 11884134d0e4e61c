"""Takes out of a text what must not be in a log: tokens, passwords of URLs, private keys, and values that the API server quotes.

What we write ourselves never holds them. This is for the errors and messages of libraries, whose texts quote what they were given.
The services have the like for their stores; the operator shares no code with them.
"""

import re
from typing import Any

LEFT_OUT = "[left out]"
_SECRETS = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[^\s'\",]+"
    r"|\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}"  # a JSON Web Token, or the beginning of one
    r"|(?P<url>://)[^\s/@'\"]+@"
    # What a kubeconfig or a plugin's answer holds, as YAML, JSON or Python shows it.
    r"|(?P<field>\b(?:token|password|clientKeyData|client-key-data|id-token|refresh-token)['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    # The API server quotes a refused field, such as `spec.idempotencyKey: Invalid value: "k": may not be changed`.
    r"|(?P<value>\b(?:Invalid|Unsupported|Duplicate) value: )(?:\"(?:[^\"\\]|\\.)*(?:\"|\Z)|[^\s:,]+)",
    re.IGNORECASE | re.DOTALL,
)


def redacted(text: str) -> str:
    """Return the text with LEFT_OUT in the place of each secret."""
    return _SECRETS.sub(_left_out, text)


def redacted_value(value: Any) -> Any:
    """Return a field of a log line with LEFT_OUT in the place of each secret in its texts. Numbers stay as they are."""
    if isinstance(value, dict):
        return {name: redacted_value(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redacted_value(one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float)) else redacted(str(value))


def _left_out(found: re.Match[str]) -> str:
    before = next((part for part in found.groups() if part is not None), "")
    return f"{before}{LEFT_OUT}" + ("@" if found["url"] else "")
