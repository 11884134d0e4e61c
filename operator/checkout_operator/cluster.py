"""The client of the Kubernetes API server.

The `kubernetes` library gives the credentials and the connections. Its API classes are not used: each call makes
model objects of what it sends and receives, and the first call imports the models of all of Kubernetes, which takes
seconds.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from aiohttp import ClientError, ClientTimeout
from kubernetes.aio import client, config

from checkout_operator.clock import ServerClock
from checkout_operator.credentials import UNAUTHORIZED, Credentials
from checkout_operator.permissions import FORBIDDEN, Permissions
from checkout_operator.selectors import LabelSelector
from checkout_operator.spec import NamespacedName

GROUP, VERSION, PLURAL = "cartwright.dev", "v1alpha1", "checkouts"
CALL_SECONDS = 10.0
THROTTLE_SECONDS = 30.0
"""The longest that a request waits in all because the API server asks for it."""
PAGE = 250
"""How many resources a page of a list holds. Reading one must not hold up the event loop."""
SUCCESS = range(200, 300)
NOT_FOUND, CONFLICT, INVALID, TOO_MANY, SERVER_ERROR = 404, 409, 422, 429, 500
_TIMEOUT = ClientTimeout(total=CALL_SECONDS)
_JSON = "application/json"
_JSON_PATCH = "application/json-patch+json"
_TRUSTED = "fieldValidation=Ignore"
"""By default the API server decodes a body a second time, to warn of fields that it does not know: what we write has none."""


class ClusterUnavailable(Exception):
    """The API server did not make the change. The same call may be repeated; `str()` says what happened."""


class Forbidden(ClusterUnavailable):
    """The operator may not make the call. `str()` has the API server's words."""


class NamespaceGone(ClusterUnavailable):
    """Nothing can be created in the namespace: it does not exist, or it is being deleted."""


class Refused(Exception):
    """A rule of the API server forbids the change. `str()` has its words."""


class Cluster:
    """The Checkouts of a cluster, and what the operator creates beside them."""

    def __init__(self, credentials: Credentials, permissions: Permissions, clock: ServerClock) -> None:
        self._credentials = credentials
        self._permissions = permissions
        self._clock = clock
        self._api = client.ApiClient(credentials.settings)
        self._not_before = 0.0
        """The time, on the monotonic clock, until which the API server has asked for no request."""
        self._host = credentials.settings.host

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def replace_status(self, name: NamespacedName, status: Mapping[str, Any], *uid: str) -> bool:
        """Replace a status. Returns False when there is no such resource.

        Where a uid is given and another resource has the name meanwhile, Refused is raised. It is a JSON patch, which costs the
        API server a quarter less than a merge patch.
        """
        change: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": one} for one in uid]
        change.append({"op": "add", "path": "/status", "value": status})
        url = f"{self._url(name)}/status?{_TRUSTED}"
        return await self._send("PATCH", url, change, content_type=_JSON_PATCH) is not None

    async def create(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Create a Checkout in the namespace that it names. Returns it, or None when one of this name exists."""
        return await self.request("POST", f"{self._checkouts(body['metadata']['namespace'])}?{_TRUSTED}", body)

    async def delete(self, name: NamespacedName, uid: str) -> bool:
        """Delete the Checkout with this uid. Returns False when it is gone, or another has its name."""
        return await self._send("DELETE", self._url(name), {"preconditions": {"uid": uid}}) is not None

    async def list_all(self, namespace: str | None, selector: LabelSelector) -> AsyncIterator[Mapping[str, Any]]:
        """Yield every Checkout of a namespace that is selected, and hold no more than a page. None is all namespaces."""
        query: dict[str, str | int] = {"limit": PAGE}
        if text := str(selector):
            query["labelSelector"] = text
        while True:
            answer = await self._send("GET", f"{self._host}{self._checkouts(namespace)}?{urlencode(query)}")
            if answer is None:
                raise ClusterUnavailable("the API server does not know Checkouts")
            page = _object(answer)
            for body in page["items"]:
                yield body
            query["continue"] = page["metadata"].get("continue") or ""
            if not query["continue"]:
                return

    async def request(
        self, verb: str, path: str, body: Mapping[str, Any] | None = None, *, content_type: str = _JSON
    ) -> Mapping[str, Any] | None:
        """Make a request by its path. Returns the object, or None when it is gone or there already."""
        answer = await self._send(verb, f"{self._host}{path}", body, content_type=content_type)
        return None if answer is None else _object(answer)

    async def create_event(self, event: Mapping[str, Any]) -> bool:
        """Create an event in the namespace that it names. One of the same name stays as it is.

        In a namespace that is being deleted there can be no new events, and nobody to read them: that is as good as done.
        """
        with suppress(NamespaceGone):
            await self.request("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)
        return True

    def _url(self, name: NamespacedName) -> str:
        return f"{self._host}{self._checkouts(name.namespace)}/{quote(name.name, safe='')}"

    def _checkouts(self, namespace: str | None) -> str:
        return f"/apis/{GROUP}/{VERSION}/{'' if namespace is None else f'namespaces/{namespace}/'}{PLURAL}"

    async def _send(
        self, verb: str, url: str, body: Mapping[str, Any] | Sequence[Any] | None = None, *, content_type: str = _JSON
    ) -> bytes | None:
        """Send a request. Returns the answer's body, or None when the object is gone or there already.

        Raises Refused for what a rule forbids, and ClusterUnavailable for every other failure: NamespaceGone and Forbidden
        where it is one of these.
        """
        deadline = time.monotonic() + THROTTLE_SECONDS
        while True:
            if (left := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(left)
            response, answer = await self._request(verb, url, body, content_type)
            delay = _retry_after(response)
            if delay is None:
                break
            now = time.monotonic()
            # It asks the client, not the request: the others wait too, instead of being refused one by one.
            self._not_before = max(self._not_before, now + min(delay, THROTTLE_SECONDS))
            if now + delay > deadline:
                break
        if response.status in SUCCESS:
            return answer
        if verb == "POST" and _namespace_is_gone(response.status, answer):
            raise NamespaceGone(answer.decode(errors="replace"))
        if response.status in {NOT_FOUND, CONFLICT}:
            return None
        if response.status == FORBIDDEN:
            raise Forbidden(f"the API server answers 403: {answer.decode(errors='replace')}")
        if response.status == INVALID:
            raise Refused(answer.decode(errors="replace"))
        raise ClusterUnavailable(f"the API server answers {response.status} {response.reason}")

    async def _request(
        self, verb: str, url: str, body: Mapping[str, Any] | Sequence[Any] | None, content_type: str
    ) -> tuple[Any, bytes]:
        """Send a request, and once more with new credentials where they were refused. Returns the response and its body.

        Raises ClusterUnavailable where no response comes.
        """
        headers = {"Accept": _JSON, "Content-Type": content_type, **self._api.default_headers}
        try:
            used = await self._authorise(headers)
            response = await self._exchange(verb, url, headers, body)
            if response.status == UNAUTHORIZED and await self._renew(used):
                await self._authorise(headers)
                response = await self._exchange(verb, url, headers, body)
            self._clock.observe(response.headers.get("Date", ""))
            await self._permissions.record(verb, url, response.status, response.read)
            return response, await response.read()
        except config.ConfigException as error:  # the file of the token is empty for a moment while it is replaced
            raise ClusterUnavailable(f"there are no credentials for the API server: {error}") from error
        except (OSError, TimeoutError, ClientError) as error:  # a connection that breaks is no OSError
            raise ClusterUnavailable(f"the API server does not answer: {error!r}") from error

    async def _exchange(self, verb: str, url: str, headers: Mapping[str, str], body: Any) -> Any:
        response = await self._api.rest_client.request(
            verb, url, headers=dict(headers), body=body, _request_timeout=_TIMEOUT
        )
        await response.read()  # to its end: a connection with unread bytes is not used again
        return response

    async def _authorise(self, headers: dict[str, str]) -> str | None:
        """Put the token into the headers. Returns it; None where a certificate says who we are."""
        token = await self._credentials.authorization()
        if token:
            headers["Authorization"] = token
        return token

    async def _renew(self, refused: str | None) -> bool:
        """Load the credentials again. Returns whether there are others than those that were refused."""
        settings = self._credentials.settings
        certificate = settings.cert_file
        if not await self._credentials.renew(refused):
            return False
        if settings.cert_file != certificate:  # connections that are open know the old one
            old, self._api = self._api, client.ApiClient(settings)
            await old.close()
        return True


def _retry_after(response: Any) -> float | None:
    """Return after how many seconds the API server asks for the request again; None where it does not ask.

    As in client-go, which repeats what is answered by 429 or 5xx with a whole number in Retry-After:
    https://github.com/kubernetes/client-go/blob/master/rest/with_retry.go
    """
    asked = response.headers.get("Retry-After", "")
    may_be_repeated = response.status == TOO_MANY or response.status >= SERVER_ERROR
    return float(asked) if may_be_repeated and asked.isdecimal() else None


def _namespace_is_gone(status: int, answer: bytes) -> bool:
    """Return whether a creation was refused since its namespace does not exist, or since it is being deleted.

    https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go
    """
    if status == NOT_FOUND:
        return True
    return status == FORBIDDEN and b'"NamespaceTerminating"' in answer


def _object(answer: bytes) -> Mapping[str, Any]:
    """Return the object of an answer. Raises ClusterUnavailable for an answer that is no JSON object."""
    try:
        found = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClusterUnavailable("the API server's answer is not JSON") from error
    if not isinstance(found, dict):
        raise ClusterUnavailable("the API server's answer is not a JSON object")
    return found
