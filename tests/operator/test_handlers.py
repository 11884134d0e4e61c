"""How kopf is asked to watch."""

import itertools
import json
from types import SimpleNamespace

import kopf
import pytest
import structlog
from kopf._cogs.clients import api
from kopf._cogs.structs.bodies import Body
from kopf._cogs.structs.patches import Patch
from kopf._cogs.structs.references import Resource
from kopf._core.intents.causes import WatchingCause

from checkout_operator import handlers
from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.config import Config
from checkout_operator.selectors import LabelSelector
from checkout_operator.sharding import Shard, owner
from checkout_operator.status import digest
from checkout_operator.watch_filter import WatchFilter
from checkout_operator.workqueue import WorkQueue
from tests.operator.views import at

FAILURES = 50


class Answers:
    """Stands in for the API server's session: it fails for long, and then answers."""

    closed = False

    def __init__(self):
        self.asked = 0

    async def request(self, **_):
        """Count, and answer with a failure or at last not."""
        self.asked += 1
        if self.asked % FAILURES:
            raise TimeoutError
        return SimpleNamespace(status=200)


async def test_the_api_server_is_away_for_long(monkeypatch):
    """However often the API server fails to answer it is asked again: kopf never gives up. The pauses grow, as kopf logs each try."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr(api, "asyncio", SimpleNamespace(sleep=sleep))
    session, settings = Answers(), handlers.settings(LabelSelector())
    for _ in range(2):  # what one call used up is not missing from the next
        await api.request(
            "get",
            "/apis",
            settings=settings,
            context=SimpleNamespace(server="http://127.0.0.1", session=session),
            logger=structlog.get_logger(),
        )
    each, longest = [2.0, 4.0, 8.0], handlers.LONGEST_RETRY_SECONDS
    assert longest >= 10
    assert pauses == 2 * (each + [longest] * (FAILURES - 1 - len(each)))


async def test_a_refused_connection_is_opened_again(monkeypatch):
    """Each time kopf asks it gets another session, after a pause, so that it neither gives up nor asks without end."""
    pauses, sessions = [], iter(["first", "second"])

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr(handlers, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(handlers, "time", SimpleNamespace(monotonic=lambda: 100.0))
    settings = SimpleNamespace(host="https://127.0.0.1:1")
    credentials = SimpleNamespace(settings=settings, session=lambda *_: next(sessions))
    login = handlers.Login(credentials, None, None)
    first, second = await login.open(), await login.open()
    assert (first.server, first.aiohttp_session, second.aiohttp_session) == (settings.host, "first", "second")
    assert first != second
    assert pauses == [0, handlers.RETRY_SECONDS]


class Watched:
    """The handlers, as kopf calls them for an event."""

    def __init__(self):
        self.cache, self.queue = ResourceCache(), WorkQueue()
        scope, log = Config().scope(), structlog.get_logger()
        login, claims = handlers.Login(None, None, None), Claims(None, scope, None, log)
        self._filter = WatchFilter(self.cache)
        self._registry = handlers.register(
            self.cache, self.queue, login, self._filter, scope=scope, claims=claims, log=log
        )

    def keeps(self, kind, body):
        """Have an event come by the watch. Returns whether kopf is given it."""
        return self._filter.keeps(json.dumps({"type": kind, "object": body}).encode())

    async def handle(self, kind, body):
        """Have kopf handle an event."""
        resource = Resource("cartwright.dev", "v1alpha1", "checkouts", kind="Checkout", namespaced=True)
        event = {"type": kind, "object": body}
        cause = WatchingCause(
            logger=structlog.get_logger(),
            indices={},
            resource=resource,
            patch=Patch(),
            memo=None,
            body=Body(body),
            type=kind,
            event=event,
        )
        for handler in self._registry._watching.iter_handlers(cause, set()):
            await handler.fn(event=event, body=cause.body)

    async def report(self, kind, body):
        """Report an event; with the kind None it is of a list, which nothing filters. Returns whether kopf was given it."""
        if given := kind is None or self.keeps(kind, body):
            await self.handle(kind, body)
        return given


@pytest.fixture
def watched():
    """The handlers."""
    return Watched()


VERSIONS = itertools.count(1)


def body(status=None, generation=1, **spec):
    """A Checkout, as the API server reports it."""
    metadata = {"name": "first", "namespace": "default", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    metadata |= {"resourceVersion": str(next(VERSIONS)), "generation": generation, "managedFields": [{"fieldsV1": {}}]}
    return {"metadata": metadata, "spec": {"userId": 7} | spec, "status": status or {}}


async def test_what_is_new_is_queued(watched):
    """A resource is queued when it is new and when its spec changes; not when its status does."""
    for kind, seen, queued in (
        (None, body(), True),
        ("MODIFIED", body({"phase": "Paying"}), False),
        ("MODIFIED", body({"phase": "Paying"}, generation=2, cancelRequested=True), True),
    ):
        assert await watched.report(kind, seen)
        assert bool(len(watched.queue)) is queued
        for name in await watched.queue.get(1) if queued else ():
            watched.queue.done(name)
    assert watched.cache.get(at("first")).spec.cancel
    assert await watched.report("DELETED", body(generation=2))
    assert watched.cache.get(at("first")) is None


async def test_own_statuses_cost_nothing(watched):
    """A status that this operator has written comes back without a handler being called; another one is noticed."""
    await watched.report("ADDED", body())
    first = watched.cache.get(at("first"))
    watched.cache.set_status(first, digest({"phase": "Paying", "sagaVersion": 3}))
    assert not await watched.report("MODIFIED", body({"phase": "Paying", "sagaVersion": 3}))
    assert await watched.report("MODIFIED", body({"phase": "Completed", "sagaVersion": 3}))
    assert watched.cache.get(at("first")).status == digest({"phase": "Completed", "sagaVersion": 3})


async def test_what_is_not_handled_yet(watched):
    """While an event waits for kopf, the next of its resource is not judged by what was known before either of them."""
    await watched.report("ADDED", body())
    forged, restored, latest = body({"phase": "Completed"}), body(), body()
    assert watched.keeps("MODIFIED", forged)
    assert watched.keeps("MODIFIED", restored)
    await watched.handle("MODIFIED", forged)
    assert watched.keeps("MODIFIED", latest)  # what came before it still waits
    await watched.handle("MODIFIED", latest)  # kopf gives the last of several
    assert watched.cache.get(at("first")).status == digest({})
    assert not watched.keeps("MODIFIED", body())


async def test_what_is_another_operators(watched):
    """What another member of several operators works on costs nothing here, whatever happens to it."""
    members = frozenset({"a", "b"})
    watched.cache.shard = Shard(owner("u1", members), members)
    assert await watched.report("ADDED", body())
    watched.cache.shard = Shard(min(members - {owner("u1", members)}), members)
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        assert not await watched.report(kind, body(generation=2))
    await watched.report(None, body(generation=3))  # of a list
    assert watched.cache.get(at("first")).generation == 1
    assert await watched.report("ADDED", body(managedBy="mirror", checkoutId="c2")) is watched.cache.shard.owns("c2")


async def test_a_deletion_that_somebody_holds_up(watched):
    """That a resource is being deleted is noticed, though nothing else of it changes."""
    await watched.report("ADDED", body())
    held = body()
    held["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:01Z"
    assert await watched.report("MODIFIED", held)
    assert watched.cache.get(at("first")).deleting


async def test_nothing_is_kept_of_who_wrote_what(watched):
    """Of a resource only what is used is kept, without the API server's record of who wrote which field."""
    await watched.report("ADDED", body())
    assert "fieldsV1" not in repr(watched.cache.get(at("first")))


def test_kopf_keeps_and_writes_nothing():
    """Kopf's storages neither copy a resource nor write anything to it."""
    storages = handlers.settings(LabelSelector()).persistence
    seen, changes = kopf.Body(body()), kopf.Patch()
    assert storages.diffbase_storage.build(body=seen) == {}
    assert storages.diffbase_storage.fetch(body=seen) is None
    storages.diffbase_storage.store(body=seen, patch=changes, essence={})
    storages.progress_storage.touch(body=seen, patch=changes, value="now")
    storages.progress_storage.store(key="handle", record={}, body=seen, patch=changes)
    assert not changes
