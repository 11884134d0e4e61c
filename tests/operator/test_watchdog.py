"""A watch that has gone silent is noticed, and one that is only late is not mistaken for a dead one."""

import pytest
import structlog
from msgspec.structs import replace

from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.cluster import Forbidden
from checkout_operator.config import Config
from checkout_operator.watchdog import WatchDied, Watchdog
from tests.operator.views import at


@pytest.fixture
def cache():
    """What the watch has reported."""
    return ResourceCache()


@pytest.fixture
def dog(cache, cluster):
    """A watchdog."""
    scope, log = Config().scope(), structlog.get_logger()
    return Watchdog(cache, cluster, scope, Claims(None, scope, None, log), log)


def there(cluster, name, generation=1):
    """Put a resource on the API server."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    cluster.objects[name] = {"metadata": metadata | {"generation": generation}, "spec": {"userId": 7}}


async def test_a_watch_that_reports(dog, cache, make, cluster):
    """What is reported by the next check was only late; what is not a valid resource is skipped here too."""
    cluster.objects["odd"] = {"metadata": {}}
    for number in range(4):
        there(cluster, f"r{number}")
        await dog.run_once()
        cache.put(make(f"r{number}"))
    await dog.run_once()


async def test_a_deletion_that_is_not_reported(dog, cache, make, cluster):
    """What is missing from one check to the next is deleted and forgotten: a watch that reconnected does not report it."""
    there(cluster, "stays")
    for name in ("stays", "gone"):
        cache.put(make(name))
    await dog.run_once()
    assert cache.get(at("gone"))  # it may only be late, or newer than the list
    await dog.run_once()
    assert [one.name for one in cache.all()] == ["stays"]
    await dog.run_once()


@pytest.mark.parametrize("missed", ["a new one", "a change"])
async def test_a_silent_watch(dog, cache, make, cluster, missed):
    """What is not reported from one check to the next, new or changed, ends the operator."""
    there(cluster, "first", generation=2)
    if missed != "a new one":
        cache.put(make("first"))
    await dog.run_once()
    with pytest.raises(WatchDied, match="a new process is needed"):
        await dog.run_once()


async def test_without_the_api_server(dog, cache, make, cluster, away):
    """A check that fails says nothing about the watch: the next ones count from the beginning."""
    there(cluster, "first")
    cache.put(make("gone"))
    for _ in range(2):
        await dog.run_once()
        cluster.faults["list"] = [away()]
        await dog.run_once()
    await dog.run_once()
    assert cache.get(at("gone"))
    with pytest.raises(WatchDied):
        await dog.run_once()


@pytest.fixture
def two(cache, cluster, monkeypatch):
    """A watchdog of two namespaces, and the errors that a list of each raises."""
    errors, list_all = {}, cluster.list_all

    async def list_one(namespace, selector):
        if namespace in errors:
            raise errors[namespace]
        async for body in list_all(namespace, selector):
            if body["metadata"]["namespace"] == namespace:
                yield body

    monkeypatch.setattr(cluster, "list_all", list_one)
    scope, log = Config(watch_namespaces=("default", "other")).scope(), structlog.get_logger()
    return Watchdog(cache, cluster, scope, Claims(None, scope, None, log), log), errors


async def test_a_namespace_that_may_not_be_listed(two, cache, make, cluster):
    """Where the rights in a namespace are gone, as with the namespace, what was in it is forgotten; the others are checked."""
    dog, errors = two
    there(cluster, "stays")
    cache.put(make("stays"))
    cache.put(replace(make("gone"), namespace="other"))
    errors["other"] = Forbidden("no")
    for _ in range(2):
        await dog.run_once()
    assert [one.name for one in cache.all()] == ["stays"]
    there(cluster, "missed")
    await dog.run_once()
    with pytest.raises(WatchDied):
        await dog.run_once()


async def test_a_namespace_that_does_not_answer(two, cache, make, cluster, away):
    """A list that fails says nothing of its namespace, and stops the check of no other."""
    dog, errors = two
    cache.put(replace(make("unseen"), namespace="other"))
    errors["other"] = away()
    there(cluster, "missed")
    await dog.run_once()
    with pytest.raises(WatchDied):
        await dog.run_once()
    assert [one.name for one in cache.all()] == ["unseen"]


async def test_all_namespaces_may_not_be_listed(cache, make, cluster):
    """An operator of all namespaces that may not list them knows nothing of what is there: it forgets nothing, and goes on later."""
    scope, log = Config(watch_all_namespaces=True).scope(), structlog.get_logger()
    dog = Watchdog(cache, cluster, scope, Claims(None, scope, None, log), log)
    there(cluster, "stays")
    cache.put(make("stays"))
    for _ in range(2):
        cluster.faults["list"] = [Forbidden("no")]
        await dog.run_once()
    assert cache.get(at("stays"))
    for _ in range(2):
        await dog.run_once()
