"""What has expired is deleted, and nothing else. When a resource ended is what its checkout says."""

import asyncio

import pytest
import structlog
from msgspec.structs import replace

from checkout_operator.cache import Ending, ResourceCache
from checkout_operator.cluster import Refused
from checkout_operator.sweeper import DELETIONS, Sweeper, expired
from tests.operator.views import at

START = 1_767_225_600.0  # when the resources were created, in seconds since 1970


def ended(second=0, *, failed=True):
    """The ending of what ended so many seconds after it was created."""
    return Ending(finished_at=START + second, ttl_from=START + second, failed=failed)


@pytest.fixture
def cache():
    """No resources yet."""
    return ResourceCache()


@pytest.fixture
def add(cache):
    """Put a resource into the cache, with its ending if it has one."""

    def add(resource, ending=None):
        cache.put(resource)
        if ending:
            cache.end(resource, ending)
        return resource

    return add


@pytest.fixture
def names(cache, config):
    """Give the names of what has expired at a time, with settings of a test's own."""
    return lambda now, **settings: [
        one.name for one in expired(cache.all(), cache.endings(), config.model_copy(update=settings), now)
    ]


def test_what_has_expired(add, make, mirror, names):
    """Each resource has its own time to live; of the mirrors of failed checkouts the newest stay."""
    for number in range(5):
        add(mirror(f"c{number}"), ended(number))
    settings = {"mirror_max_failures": 3, "mirror_failure_ttl": 90.0}
    add(make("first"), ended())
    add(make("running"))
    assert names(START + 5, **settings) == ["co-c0", "co-c1"]
    assert set(names(START + 299, **settings)) == {f"co-c{number}" for number in range(5)}
    assert "first" in names(START + 300, **settings)
    assert "running" not in names(START + 10**6, **settings)


FORGED = [
    {"finishedAt": "2020-01-01T00:00:00Z"},
    {"finishedAt": "2020-01-01T00:00:00Z", "phase": "Failed", "sagaVersion": 1000},
    {"finishedAt": "2999-01-01T00:00:00Z", "phase": "Paying"},
    {"finishedAt": "2026-01-01t00:00:00z"},
]


@pytest.mark.parametrize("status", FORGED)
def test_a_status_decides_nothing(add, make, mirror, names, status):
    """Whatever somebody writes into a status, what runs stays, and what has ended stays for its own time and no longer."""
    add(make("running", status=status))
    add(mirror("c1", status))
    add(make("over", status=status), ended())
    add(mirror("c2", status, ttlSecondsAfterFinished=30), ended(failed=False))
    assert names(START + 29) == []
    assert names(START + 30) == ["co-c2"]
    assert names(START + 10**6, mirror_max_failures=0) == ["over", "co-c2"]


async def test_a_status_makes_no_room(add, mirror, cluster, cache, config):
    """At the cap of mirrors one whose status says that it has ended, while its checkout runs, stays."""
    add(mirror("c1", FORGED[1]))
    settings = config.model_copy(update={"mirror_max_objects": 1})
    assert await Sweeper(cache, cluster, settings, structlog.get_logger()).run_once() == 0


def test_a_mirror_that_was_made_while_its_checkout_ran(add, mirror, names, config):
    """A mirror stays for the time of what became of its checkout: of a failure, though it was created before that."""
    add(mirror("c1", ttlSecondsAfterFinished=30), ended(failed=False))
    add(mirror("c2", ttlSecondsAfterFinished=30), ended())
    assert names(START + 30) == ["co-c1"]
    cap = START + config.mirror_failure_ttl
    assert (names(cap - 1), names(cap)) == (["co-c1"], ["co-c1", "co-c2"])


def test_what_is_being_deleted(add, make, mirror, names):
    """What has been deleted and is held by somebody's finalizer is not deleted again, nor takes another's place."""
    add(replace(make("first"), deleting=True), ended())
    add(replace(mirror("c1"), deleting=True), ended(1))
    add(mirror("c2"), ended(2))
    assert names(START + 400, mirror_max_failures=1) == []


def test_an_old_purchase_is_shown_for_its_time(add, make, names):
    """A resource that shows a purchase made long ago stays for its time to live, counted from where its ending says."""
    add(make("first"), replace(ended(-(10**6)), ttl_from=START + 1000))
    assert names(START + 1299) == []
    assert names(START + 1300) == ["first"]


async def test_what_is_gone_already(add, make, cluster, cache, config):
    """What the API server no longer has is not asked for again, though the watch never reported its end."""
    sweeper = Sweeper(cache, cluster, config, structlog.get_logger())
    for name in ("there", "gone"):
        add(make(name), ended())
    cluster.objects["there"] = {}
    assert await sweeper.run_once() == 2
    assert [one.name for one in cache.all()] == ["there"]
    add(make("gone", uid="another"))
    assert await sweeper.run_once() == 1
    assert cache.get(at("gone")).uid == "another"


async def test_one_that_may_not_be_deleted(add, make, cluster, cache, config, away):
    """What the API server refuses to delete stays, and stops none of the others."""
    sweeper = Sweeper(cache, cluster, config, structlog.get_logger())
    for name in ("held", "away", "last"):
        add(make(name), ended())
        cluster.objects[name] = {}
    cluster.faults["delete"] = [away(), Refused("by a policy")]
    assert await sweeper.run_once() == 1
    assert set(cluster.objects) == {"held", "away"}
    assert len(cache.all()) == 3  # the watch reports what is gone


async def test_a_slow_deletion(add, make, cluster, cache, config, monkeypatch):
    """While the API server takes long to delete one, the others are deleted, and no more than a few at a time."""
    answer, delete, running = asyncio.Event(), cluster.delete, set()

    async def slow(name, uid):
        running.add(name)
        assert len(running) <= DELETIONS
        await (answer.wait() if name == at("slow") else asyncio.sleep(0))
        running.remove(name)
        return await delete(name, uid)

    monkeypatch.setattr(cluster, "delete", slow)
    for name in ("slow", *(f"quick{number}" for number in range(3 * DELETIONS))):
        add(make(name), ended())
        cluster.objects[name] = {}
    sweeping = asyncio.create_task(Sweeper(cache, cluster, config, structlog.get_logger()).run_once())
    async with asyncio.timeout(5):
        while set(cluster.objects) != {"slow"}:
            assert not sweeping.done()
            await asyncio.sleep(0)
        answer.set()
        assert await sweeping == 1 + 3 * DELETIONS


async def test_room_for_those_that_run(add, mirror, cluster, cache, config):
    """At the cap of mirrors the oldest that has ended makes room, before its time; those that run stay."""
    settings = config.model_copy(update={"mirror_max_objects": 3, "mirror_failure_ttl": 1e9})
    sweeper = Sweeper(cache, cluster, settings, structlog.get_logger())
    add(mirror("c1"))
    add(mirror("c2"), ended(2))
    assert await sweeper.run_once() == 0
    add(mirror("c3"), ended(1))
    assert await sweeper.run_once() == 1
    assert cluster.calls == [("delete", "co-c3")]
    add(replace(mirror("c3"), deleting=True))  # held by somebody's finalizer: it takes no place
    assert await sweeper.run_once() == 0
    add(mirror("c4"))
    assert await sweeper.run_once() == 1
    assert cluster.calls[1:] == [("delete", "co-c2")]
