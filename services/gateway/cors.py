"""Which pages of other origins a browser lets read the API: those that CORS_ORIGINS names, and none by default.

It is the CORS protocol of the Fetch standard. Cookies are not used, so credentials are never allowed.
"""

import re

from aiohttp import hdrs, web
from multidict import MultiMapping

from services.chassis.env import BadSettings

EXPOSED = "ETag, Idempotent-Replayed, Location, Retry-After, WWW-Authenticate, X-Request-Id"
"""The headers of an answer that a page may read."""
ALLOWED = "Authorization, Content-Type, Idempotency-Key, If-None-Match, traceparent, X-Request-Id, X-User-Id"
"""The headers that a page may send."""
MAX_AGE = "600"
"""For how many seconds a browser may remember the answer to a preflight request."""

# As a browser writes it (RFC 6454): lower case, no path, no port that is the scheme's own.
_ORIGIN = re.compile(r"(?:http(?!.*:80$)|https(?!.*:443$))://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")


def origins(setting: str) -> frozenset[str]:
    """Return the origins of CORS_ORIGINS, which are separated by commas. Raises BadSettings for one that no browser sends."""
    found = frozenset(origin.strip() for origin in setting.split(",") if origin.strip())
    for origin in sorted(found):
        if not _ORIGIN.fullmatch(origin):
            raise BadSettings(
                "CORS_ORIGINS: must be origins as browsers send them, such as https://shop.example.com, in lower case,"
                f" without a path, a default port or a wildcard (got {origin!r})"
            )
    return found


class Cors:
    """Answers preflight requests, and lets pages of the allowed origins read the answers."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed

    def preflight(self, request: web.Request) -> web.Response | None:
        """Return the answer to a preflight request of an allowed origin for a route that exists, or None for any other."""
        if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        refused = request.match_info.http_exception
        if not self._allows(request.headers) or not isinstance(refused, web.HTTPMethodNotAllowed):
            return None
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(sorted(refused.allowed_methods)),
                "Access-Control-Allow-Headers": ALLOWED,
                "Access-Control-Max-Age": MAX_AGE,
            },
        )

    def let_read(self, headers: MultiMapping[str], response: web.StreamResponse) -> None:
        """Let a page of an allowed origin read the answer to a request with these headers, and tell caches that it depends on the origin."""
        if not self._allowed:
            return
        response.headers.add("Vary", "Origin")
        if self._allows(headers):
            response.headers["Access-Control-Allow-Origin"] = headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = EXPOSED

    def _allows(self, headers: MultiMapping[str]) -> bool:
        return headers.get("Origin") in self._allowed and len(headers.getall("Origin")) == 1
