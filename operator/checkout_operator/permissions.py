"""Which rights the API server refuses the operator: read from its answers, so that a missing one is seen by who can give it."""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from checkout_operator.telemetry import Metrics

FORBIDDEN = 403
_VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
_BEFORE_RESOURCE = {"api": 2, "apis": 3}
"""How many parts of a path come before the resource: /api/v1, and /apis/GROUP/VERSION."""
_SAYS_NOTHING = frozenset({401, 429})
_SERVER_ERROR = 500
LASTING_SECONDS = 5.0
"""How long a right is refused before the log tells of it. An API server that has just started knows no roles for a second."""
_OF_A_RIGHT = re.compile(rb" cannot \w+ (resource|path) ")
"""What the API server says of a missing right; admission, quotas and a namespace that ends answer 403 in other words.

https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/responsewriters/errors.go
"""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A right as a Role names it. Without a namespace it is one of the whole cluster."""

    verb: str
    resource: str
    namespace: str

    def __str__(self) -> str:
        where = f"in the namespace {self.namespace}" if self.namespace else "in the cluster"
        return f"{self.verb} {self.resource} {where}"


def right_for(method: str, url: str) -> Right:
    """Return the right that a request needs, by the rules of https://kubernetes.io/docs/reference/access-authn-authz/authorization."""
    parts = urlsplit(url)
    path = parts.path.split("/")
    root = next(
        (one for one in ("apis", "api") if one in path), ""
    )  # a proxy may put the whole API below a path of its own
    rest = path[path.index(root) + _BEFORE_RESOURCE[root] :] if root else []
    if not rest:
        return Right(method.lower(), parts.path, "")  # a path, such as /version, and no resource
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:  # noqa: PLR2004 - namespaces, the namespace, the resource
        namespace, rest = rest[1], rest[2:]
    named, resource = len(rest) > 1, "/".join([rest[0], *rest[2:]])
    reads = "watch" if "watch=true" in parts.query.split("&") else "get" if named else "list"
    return Right(_VERBS.get(method, reads), resource, namespace)


class Permissions:
    """The rights that are missing: refused, and not granted since."""

    def __init__(self, metrics: Metrics, log: structlog.stdlib.BoundLogger) -> None:
        self._metrics = metrics
        self._log = log
        self._missing: dict[Right, float] = {}
        """Since when each is refused, in seconds on the monotonic clock."""
        self._told: set[Right] = set()
        """Those that the log has told of."""
        self._listed: set[str] = set()
        """The namespaces whose Checkouts may be listed."""
        self._open: set[str] = set()
        """The namespaces in which the last answer about anything but that list was no refusal."""

    def missing(self) -> list[str]:
        """Return the missing rights in words."""
        return [str(right) for right in sorted(self._missing)]

    def is_hindered(self) -> bool:
        """Return whether a right is missing that somebody must give before the operator serves.

        With a namespace that is deleted go all rights in it. That hinders nothing while another namespace can be listed.
        """
        return any(not (self._listed and self._is_shut(right.namespace)) for right in self._missing)

    async def record(self, method: str, url: str, status: int, read: Callable[[], Awaitable[bytes]]) -> None:
        """Take note of an answer. `read` gives its body, which is read of refusals alone."""
        if status == FORBIDDEN:
            if _OF_A_RIGHT.search(await read()):
                self._refused(right_for(method, url))
        elif (self._missing or method == "GET") and status not in _SAYS_NOTHING and status < _SERVER_ERROR:
            self._granted(right_for(method, url))

    def _is_shut(self, namespace: str) -> bool:
        """Return whether nothing at all seems to be allowed in a namespace, as in one that is gone: RBAC answers 403 there too."""
        return bool(namespace) and _list_of(namespace) in self._missing and namespace not in self._open

    def _refused(self, right: Right) -> None:
        lists = right == _list_of(right.namespace)
        if not lists or right.namespace in self._listed:  # a list that is tried again tells nothing new
            self._open.discard(right.namespace)
        if lists:
            self._listed.discard(right.namespace)
        now = time.monotonic()
        if right not in self._missing:
            self._missing[right] = now
            self._metrics.missing_rights.labels(right.verb, right.resource, right.namespace).set(1)
        elif right not in self._told and now - self._missing[right] >= LASTING_SECONDS:
            self._told.add(right)
            self._log.error("a right is missing: have the operator's role give it", right=str(right))

    def _granted(self, right: Right) -> None:
        (self._listed if right == _list_of(right.namespace) else self._open).add(right.namespace)
        if right in self._missing:
            del self._missing[right]
            self._metrics.missing_rights.labels(right.verb, right.resource, right.namespace).set(0)
            if right in self._told:
                self._told.remove(right)
                self._log.info("a right that was missing is given", right=str(right))


def _list_of(namespace: str) -> Right:
    return Right("list", "checkouts", namespace)
