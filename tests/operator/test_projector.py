"""What is written to the API server: the latest state, once, within the budget of mirrors, and until when it stays."""

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from checkout_operator import mirrors
from checkout_operator import projector as module
from checkout_operator.cache import Ending
from checkout_operator.cluster import ClusterUnavailable, NamespaceGone
from checkout_operator.mirrors import MIRROR_WITHIN_SECONDS
from checkout_operator.status import seconds
from tests.operator.views import at, over, rest


async def test_the_latest_is_written_once(new, view, cluster):
    """Of many states that come between two looks the latest is written, in whatever order; the same again is not."""
    projector = new()
    for version in (3, 5, 4):
        projector.enqueue(replace(view, version=version))
    await projector.flush()
    projector.enqueue(replace(view, version=5))
    await projector.flush()
    assert cluster.calls == [("status", "first")]
    assert cluster.statuses["first"]["sagaVersion"] == 5


async def test_an_end_is_shown_at_once(new, view, cluster, monkeypatch):
    """An end does not wait for the moment in which changes are gathered."""
    monkeypatch.setattr(module, "COALESCE_SECONDS", 3600)
    projector = new()
    running = asyncio.create_task(projector.run())
    projector.enqueue(view)
    await asyncio.sleep(0)
    assert cluster.calls == []
    shown, replace_status = asyncio.Event(), cluster.replace_status

    async def observed(name, status, *uid):
        shown.set()
        return await replace_status(name, status, *uid)

    cluster.replace_status = observed
    projector.enqueue(over(view))
    await asyncio.wait_for(shown.wait(), 5)
    assert cluster.statuses["first"]["phase"] == "Failed"
    running.cancel()


async def test_a_key_of_other_items(new, cluster, cache, make):
    """What never became a checkout is shown and reported as that, once."""
    projector = new()
    await projector.refuse(cache.get(at("first")), "IdempotencyKeyReused")
    cache.put(make("first", status={name: value for name, value in cluster.statuses["first"].items() if value}))
    await projector.refuse(cache.get(at("first")), "IdempotencyKeyReused")
    assert cluster.calls == [("event", "first"), ("status", "first")]


async def test_the_cap_of_mirrors_holds_at_once(new, view, cluster, metrics):
    """However many checkouts of REST come at once, no more mirrors are made than the cap has room for."""
    projector = new(mirror_max_objects=3)
    slow = cluster.create

    async def create(body):
        await asyncio.sleep(0)
        return await slow(body)

    cluster.create = create
    for number in range(20):
        projector.enqueue(rest(view, number))
    await projector.flush()
    assert len(cluster.objects) == 3
    assert metrics.skipped.labels("objects")._value.get() == 17
    for number in range(20):  # the comparison offers them again and again
        projector.enqueue(rest(view, number))
    await projector.flush()
    assert metrics.skipped.labels("objects")._value.get() == 17


async def test_the_budget_of_writes(new, view, cluster, metrics, monkeypatch):
    """Mirrors are made, and those that run are written, no faster than the budget allows; an end is always shown."""
    now = [100.0]
    monkeypatch.setattr(mirrors.time, "monotonic", lambda: now[0])
    projector = new(mirror_max_writes_per_second=4)
    for number in range(10):
        projector.enqueue(rest(view, number))
    await projector.flush()
    made = list(cluster.objects)
    assert len(made) + len(cluster.statuses) == 4
    assert metrics.skipped.labels("rate")._value.get() == 10 - len(made)
    now[0] += 1
    await projector.flush()  # what was left pending is written now
    assert set(cluster.statuses) == set(made)
    while projector._mirrors.writes.spend():
        pass
    for number in range(10):
        projector.enqueue(replace(rest(view, number), saga_step="COMPLETED", version=9))
    await projector.flush()
    assert all(cluster.statuses[name]["phase"] == "Completed" for name in made)


async def test_mirrors_give_way_to_a_busy_api_server(new, view, cluster, metrics, monkeypatch):
    """While writes are slow fewer mirrors are made, though never none; once writes are quick the budget is whole again."""
    now = [100.0]
    monkeypatch.setattr(mirrors.time, "monotonic", lambda: now[0])
    projector, takes, create = (
        new(mirror_max_writes_per_second=40, mirror_min_writes_per_second=8),
        [1.0],
        cluster.create,
    )

    async def create_in_time(body):
        now[0] += takes[0]
        return await create(body)

    monkeypatch.setattr(cluster, "create", create_in_time)

    async def made(numbers):
        before = len(cluster.objects)
        for number in numbers:
            projector.enqueue(rest(view, number))
            await projector.flush()
        return len(cluster.objects) - before

    def rate():
        return metrics.mirror_rate._value.get()

    assert rate() == 40
    await made(range(200))
    assert rate() <= 8 + mirrors.INCREASE  # the status after the last creation was quick
    takes[0] = 0.0
    assert 1 <= await made(range(200, 300)) <= 8 + 1
    for number in range(300, 400):
        now[0] += 1
        await made([number])
    assert rate() == 40
    cluster.faults["status"] = [ClusterUnavailable("away")]
    await made([400])
    assert rate() < 40
    assert metrics.mirror_rate_wanted._value.get() == 40


@pytest.mark.parametrize(
    ("mode", "late", "gone", "made"),
    [
        ("All", False, False, True),
        ("All", True, False, False),
        ("All", False, True, False),
        ("Failures", False, False, True),
        ("None", False, False, False),
    ],
)
async def test_which_are_mirrored(new, view, cluster, cache, mirror, mode, late, gone, made):
    """What failed is mirrored unless nobody wants it, it is long over, or its mirror was there and was deleted."""
    if gone:
        cache.put(mirror("c1"))
        cache.remove(mirror("c1"))
    ended = rest(over(view))
    if late:
        ended = replace(ended, finished_ms=ended.finished_ms - int(MIRROR_WITHIN_SECONDS + 1) * 1000)
    projector = new(mirror_mode=mode, mirror_failure_ttl=77)
    projector.enqueue(ended)
    await projector.flush()
    assert ("co-c1" in cluster.objects) is made
    if made:
        assert cluster.objects["co-c1"]["spec"]["ttlSecondsAfterFinished"] == 77


async def test_a_success_is_no_failure(new, view, cluster):
    """With `Failures` neither what runs nor what completed is mirrored."""
    projector = new(mirror_mode="Failures")
    projector.enqueue(rest(view))
    projector.enqueue(replace(rest(view, 2), saga_step="COMPLETED", finished_ms=int(time.time() * 1000)))
    await projector.flush()
    assert cluster.calls == []


async def test_nothing_is_kept_of_what_is_gone(new, view, cluster):
    """What was written to a resource, and that its failure was reported, is forgotten once it is gone."""
    projector = new()
    projector.enqueue(over(view))
    await projector.flush()
    projector.retain({"uid-first"})
    assert (set(projector._written), set(projector._events._created)) == ({"uid-first"}, {"uid-first"})
    projector.retain(set())
    assert (projector._written, projector._events._created, projector._events._first_seen) == ({}, {}, {})


async def test_when_it_ended(new, view, cache, make):
    """An ending is recorded once it is shown, with the checkout's own time, and forgotten with the resource."""
    projector = new()
    projector.enqueue(view)
    await projector.flush()
    assert cache.endings() == {}
    failed = over(view)
    for _ in range(2):
        projector.enqueue(failed)
        await projector.flush()
    at = failed.finished_ms / 1000
    assert cache.endings() == {"uid-first": Ending(finished_at=at, ttl_from=at, failed=True)}
    cache.remove(make("first"))
    assert cache.endings() == {}


async def test_an_end_that_is_not_shown_yet(new, view, cluster, cache, away):
    """What could not be shown has not ended yet: nobody has seen it."""
    projector = new()
    cluster.faults["status"] = [away()]
    projector.enqueue(over(view))
    await projector.flush()
    assert cache.endings() == {}


@pytest.mark.parametrize("status", [{}, {"finishedAt": "2020-01-01T00:00:00Z", "phase": "Completed"}])
async def test_an_end_that_an_earlier_process_showed(new, view, cache, make, status):
    """A new process takes an end from the checkout, whatever the status says by then."""
    cache.put(make("first", status=status))
    failed = over(view)
    projector = new()
    await projector.repair(cache.get(at("first")), failed)
    await projector.flush()
    assert cache.endings()["uid-first"].finished_at == failed.finished_ms / 1000


async def test_an_old_purchase(new, view, cache):
    """A purchase that is older than its resource is kept from when this process first shows it."""
    before = time.time()
    projector = new()
    projector.enqueue(replace(view, saga_step="COMPLETED", finished_ms=1, version=9))
    await projector.flush()
    ending = cache.endings()["uid-first"]
    assert (ending.finished_at, ending.failed) == (0.001, False)
    assert before <= ending.ttl_from <= time.time()


async def test_a_refusal_is_an_end(new, cache):
    """What cannot become a checkout is kept from when this process first shows that."""
    before = time.time()
    projector = new()
    await projector.refuse(cache.get(at("first")), "IdempotencyKeyReused")
    ending = cache.endings()["uid-first"]
    assert (ending.failed, before <= ending.ttl_from <= time.time()) == (True, True)


async def test_a_name_proves_nothing(new, view, cluster, cache, make, mirror):
    """A resource that somebody named like a mirror, of another checkout or user, shows nothing of this one."""
    projector = new()
    cache.put(make("co-c1"))
    cache.put(mirror("c2", userId=8))
    for number in (1, 2):
        projector.enqueue(rest(over(view), number))
    await projector.flush()
    assert (cluster.calls, cache.endings()) == ([], {})


async def test_a_mirror_of_nothing(new, cluster, cache, mirror):
    """A mirror of a checkout that does not exist shows nothing that somebody wrote, and its time counts from its creation."""
    projector = new()
    forged, plain = mirror("c1", {"phase": "Completed"}), mirror("c2")
    for one in (forged, plain):
        cache.put(one)
        await projector.orphan(one)
    assert cluster.calls == [("status", "co-c1")]
    assert cluster.statuses == {"co-c1": {}}
    assert {ending.ttl_from for ending in cache.endings().values()} == {seconds(plain.created)}


async def test_a_mirror_made_by_hand(new, view, cluster, cache, mirror):
    """A mirror of a resource's checkout, which only a person makes, shows that checkout."""
    cache.put(mirror("c1"))
    projector = new()
    await projector.repair(cache.get(at("co-c1")), view)
    await projector.flush()
    assert cluster.statuses["co-c1"]["phase"] == "Paying"


async def test_the_namespace_of_mirrors_is_gone(new, view, cluster, metrics, monkeypatch):
    """Where no mirror can be created, one is tried a minute, whatever is bought meanwhile; each that is left out is counted."""
    cluster.faults["create"] = [NamespaceGone("it is being terminated")] * 2
    now = 1000.0
    monkeypatch.setattr(mirrors, "time", SimpleNamespace(monotonic=lambda: now, time=time.time))
    projector = new()
    for number in range(10):
        projector.enqueue(rest(view, number))
        await projector.flush()
    assert len(cluster.calls) == 1
    assert metrics.skipped.labels("namespace")._value.get() == 9
    for wanted in (2, 4):  # it is still gone, and then it is back: a mirror and its status
        now += mirrors.NO_NAMESPACE_SECONDS
        projector.enqueue(rest(view, wanted))
        await projector.flush()
        assert len(cluster.calls) == wanted
