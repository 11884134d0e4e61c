"""A watch that has gone silent is noticed, and one that is only late is not taken for dead."""

import pytest
import structlog

from checkout_operator.cache import ResourceCache
from checkout_operator.watchdog import WatchDied, Watchdog


@pytest.fixture
def cache():
    """What the watch has told of."""
    return ResourceCache()


@pytest.fixture
def dog(cache, cluster):
    """A watchdog."""
    return Watchdog(cache, cluster, structlog.get_logger())


def there(cluster, name, generation=1):
    """Put a resource on the API server."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    cluster.objects[name] = {"metadata": metadata | {"generation": generation}, "spec": {"userId": 7}}


async def test_a_watch_that_tells(dog, cache, make, cluster):
    """What has been told of by the next look was only late; what is no resource is passed over here too."""
    cluster.objects["odd"] = {"metadata": {}}
    for number in range(4):
        there(cluster, f"r{number}")
        await dog.run_once()
        cache.put(make(f"r{number}"))
    await dog.run_once()


async def test_an_end_that_is_not_told(dog, cache, make, cluster):
    """What is not there from one look to the next is gone, and known no longer: a watch that began anew tells of none."""
    there(cluster, "stays")
    for name in ("stays", "gone"):
        cache.put(make(name))
    await dog.run_once()
    assert cache.get("gone")  # it may only be late, or newer than the list
    await dog.run_once()
    assert [one.name for one in cache.all()] == ["stays"]
    await dog.run_once()


@pytest.mark.parametrize("missed", ["a new one", "a change"])
async def test_a_silent_watch(dog, cache, make, cluster, missed):
    """What is not told of from one look to the next ends the operator: new or changed."""
    there(cluster, "first", generation=2)
    if missed != "a new one":
        cache.put(make("first"))
    await dog.run_once()
    with pytest.raises(WatchDied, match="a new process is needed"):
        await dog.run_once()


async def test_without_the_api_server(dog, cache, make, cluster, away):
    """A look that fails says nothing of the watch: what was odd before it must be odd twice again."""
    there(cluster, "first")
    cache.put(make("gone"))
    for _ in range(2):
        await dog.run_once()
        cluster.faults["list"] = [away()]
        with pytest.raises(type(away())):
            await dog.run_once()
    await dog.run_once()
    assert cache.get("gone")
    with pytest.raises(WatchDied):
        await dog.run_once()
