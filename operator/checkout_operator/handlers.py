"""Every kopf decorator. kopf is the watch and nothing else: its events go into the work queue, and it writes nothing."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import kopf
import structlog
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientPayloadError, ClientRequest, ClientResponse

from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.clock import ServerClock
from checkout_operator.cluster import GROUP, PAGE, PLURAL, VERSION
from checkout_operator.credentials import Credentials
from checkout_operator.permissions import Permissions
from checkout_operator.scope import Scope
from checkout_operator.selectors import LabelSelector
from checkout_operator.sharding import key_of
from checkout_operator.spec import InvalidSpec, NamespacedName, parse
from checkout_operator.watch_filter import WatchFilter
from checkout_operator.workqueue import WorkQueue

RETRY_SECONDS, LONGEST_RETRY_SECONDS = 2.0, 10.0
GONE = 410


class Login:
    """Gives kopf its connection, with the credentials of the operator's own calls.

    kopf asks again when the API server refuses them for good. A session is a new one each time, so that kopf never takes it for
    the one that was refused and gives up: who is unknown now may be known later.
    """

    def __init__(
        self, credentials: Credentials, permissions: Permissions, clock: ServerClock, *middlewares: ClientMiddlewareType
    ) -> None:
        """Take what each session is made of; `middlewares` as `Credentials.session` has them."""
        self._credentials = credentials
        self._permissions = permissions
        self._clock = clock
        self._middlewares = middlewares
        self._given_at = float("-inf")

    async def open(self, **_: Any) -> kopf.AiohttpSession:
        """Open a session, though not more often than every RETRY_SECONDS."""
        await asyncio.sleep(max(0.0, self._given_at + RETRY_SECONDS - time.monotonic()))
        self._given_at = time.monotonic()
        session = self._credentials.session(self._permissions, self._clock, list_anew, *self._middlewares)
        return kopf.AiohttpSession(server=self._credentials.settings.host, aiohttp_session=session)


async def list_anew(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Have kopf begin a list anew whose next page is no longer to be had, as after an outage. It would end the operator."""
    response = await handler(request)
    if response.status == GONE and "continue" in request.url.query:
        response.release()
        raise ClientPayloadError("the rest of the list has expired")
    return response


def register(
    cache: ResourceCache,
    queue: WorkQueue,
    login: Login,
    watch_filter: WatchFilter,
    *,
    scope: Scope,
    claims: Claims,
    log: structlog.stdlib.BoundLogger,
) -> kopf.OperatorRegistry:
    """Return the handlers that kopf calls."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(login.open)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        body = event["object"]
        if cache.owns(key_of(body)) and scope.includes(body):  # both may have changed since it was let through
            await keep(event)
        watch_filter.handled(body)

    async def keep(event: kopf.RawEvent) -> None:
        body = event["object"]
        known = cache.find(_name(body), body["metadata"].get("uid", ""))
        try:
            resource = parse(body, known)
        except InvalidSpec as error:
            log.warning("skipped a resource that is not valid", error=str(error))
            return
        if event["type"] == "DELETED":
            cache.remove(resource)
            return
        if not await claims.hold(resource.namespace):
            return
        cache.put(resource)
        if known is None or known.generation != resource.generation:
            queue.add(resource.namespaced_name)

    return registry


def _name(body: Mapping[str, Any]) -> NamespacedName:
    metadata = body["metadata"]
    return NamespacedName(metadata.get("namespace", ""), metadata.get("name", ""))


class NoDiffs(kopf.DiffBaseStorage):
    """Keeps no last state of a resource: no handler asks what changed. kopf's own copies the whole resource twice an event."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return that nothing of a resource is compared."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> None:
        """Return that nothing is stored."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no progress of handlers: the one handler here is called once an event and is never repeated by kopf."""

    def fetch(self, **_: Any) -> None:
        """Return that nothing is stored."""

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Touch nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return what is compared of a resource, which holds no progress."""
        return essence


class Backoffs:
    """The pauses of kopf before each further try of a call, in seconds. They never end: where they end, kopf ends the operator.

    They grow, since kopf logs each try, and a namespace that is gone is tried for ever.
    """

    def __iter__(self) -> Iterator[float]:
        """Begin anew for each call."""
        pause = RETRY_SECONDS
        while True:
            yield pause
            pause = min(2 * pause, LONGEST_RETRY_SECONDS)


def settings(selector: LabelSelector) -> kopf.OperatorSettings:
    """Return kopf's settings: a watch that notices a dead connection, no scanning, no posting, no peering.

    The API server itself leaves out what is not selected. It reports a resource that loses the labels as deleted, and one that
    gains them as added.
    """
    chosen = kopf.OperatorSettings()
    if text := str(selector):
        chosen.watching.label_selectors[GROUP, VERSION, PLURAL] = text
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.watching.chunk_size = PAGE
    chosen.watching.server_timeout = 240
    chosen.watching.client_timeout = 250
    chosen.watching.connect_timeout = 10
    chosen.watching.inactivity_timeout = 70
    chosen.networking.request_timeout = 15
    chosen.networking.error_backoffs = Backoffs()
    chosen.persistence.finalizer = "cartwright.dev/unused"
    chosen.persistence.progress_storage = NoProgress()
    chosen.persistence.diffbase_storage = NoDiffs()
    return chosen
