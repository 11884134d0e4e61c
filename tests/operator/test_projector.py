"""What is written to the API server: the latest state, once, within the budget of mirrors, and each failure's event."""

import asyncio
import time
from dataclasses import replace

import pytest
import structlog

from checkout_operator import mirrors
from checkout_operator import projector as module
from checkout_operator.cache import Ending, ResourceCache
from checkout_operator.faults import Faults
from checkout_operator.mirrors import MIRROR_WITHIN_SECONDS, MirrorPolicy
from checkout_operator.projector import Projector
from checkout_operator.status import project, seconds
from checkout_operator.telemetry import Metrics


@pytest.fixture
def cache(make):
    """The resource `first`, known to be the checkout's own."""
    cache = ResourceCache()
    cache.put(make("first"))
    cache.confirm(make("first"))
    return cache


@pytest.fixture
def metrics():
    """What is counted."""
    return Metrics()


@pytest.fixture
def new(cache, cluster, config, metrics):
    """Make a projector with settings of its own."""

    def new(**settings):
        policy, log = MirrorPolicy(cache, config.model_copy(update=settings)), structlog.get_logger()
        return Projector(cache, cluster, policy, faults=Faults(metrics, log), metrics=metrics, log=log)

    return new


def over(view, **more):
    """The checkout once it has failed, just now."""
    now = int(time.time() * 1000)
    return replace(view, saga_step="FAILED", reason="PaymentDeclined", finished_ms=now, version=9, **more)


def rest(view, number=1):
    """A checkout of REST."""
    return replace(view, id=f"c{number}", from_resource=False)


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
    shown, patch_status = asyncio.Event(), cluster.patch_status

    async def observed(name, status):
        shown.set()
        return await patch_status(name, status)

    cluster.patch_status = observed
    projector.enqueue(over(view))
    await asyncio.wait_for(shown.wait(), 5)
    assert cluster.statuses["first"]["phase"] == "Failed"
    running.cancel()


async def test_a_failure_has_an_event(new, view, cluster, away):
    """A failure is reported before it is shown, and once, also where its status has to be written again."""
    projector = new()
    cluster.faults["status"] = [away()]
    for _ in range(3):
        projector.enqueue(over(view))
        await projector.flush()
    assert cluster.calls == [("event", "first"), ("status", "first"), ("status", "first")]
    assert cluster.events == [("first", "PaymentDeclined")]


async def test_a_status_hides_no_failure(new, view, cluster, cache, make):
    """A failure is reported also where the status shows it already: a user, or the operator before, may have written it."""
    cache.put(make("first", status=project(over(view), 1)))
    projector = new()
    projector.enqueue(over(view))
    await projector.flush()
    assert cluster.calls == [("event", "first")]  # by one name: the API server keeps one


async def test_an_event_that_failed_is_created_later(new, view, cluster, cache, make, away):
    """A failure whose event could not be created, though its status was, is reported by the next comparison, once."""
    projector = new()
    cluster.faults["event"] = [away(), away()]
    projector.enqueue(over(view))
    await projector.flush()
    assert cluster.events == []
    cache.put(make("first", status=cluster.statuses["first"]))
    for reported in (0, 1, 1):
        await projector.repair(cache.get("first"), over(view))
        await projector.flush()
        assert len(cluster.events) == reported
    assert cluster.calls == [("event", "first"), ("status", "first"), ("event", "first"), ("event", "first")]


async def test_a_refusal_whose_event_failed(new, cluster, cache, make, away):
    """So is that of a resource that never became a checkout."""
    projector = new()
    cluster.faults["event"] = [away()]
    for _ in range(3):
        await projector.refuse(cache.get("first"), "IdempotencyKeyReused")
        cache.put(make("first", status={name: value for name, value in cluster.statuses["first"].items() if value}))
    assert cluster.calls == [("event", "first"), ("status", "first"), ("event", "first")]


async def test_a_success_and_a_mirror_have_no_event(new, view, cluster):
    """Events are about failures of resources alone."""
    projector = new()
    projector.enqueue(replace(view, saga_step="COMPLETED", finished_ms=1, version=9))
    projector.enqueue(rest(over(view)))
    await projector.flush()
    assert cluster.events == []
    assert {name: status["phase"] for name, status in cluster.statuses.items()} == {
        "first": "Completed",
        "co-c1": "Failed",
    }


async def test_a_write_that_failed_is_repaired(new, view, cluster, cache, make, away):
    """What could not be written is written by the next comparison, also where somebody claims to be newer."""
    projector = new()
    cluster.faults["status"] = [away()]
    projector.enqueue(view)
    await projector.flush()
    assert cluster.statuses == {}
    cluster.statuses["first"] = {"sagaVersion": 1000, "phase": "Completed"}
    cache.put(make("first", status=cluster.statuses["first"]))
    await projector.repair(cache.get("first"), view)
    await projector.flush()
    assert (cluster.statuses["first"]["sagaVersion"], cluster.statuses["first"]["phase"]) == (3, "Paying")


async def test_a_key_of_other_items(new, cluster, cache, make):
    """What never became a checkout is shown and reported as that, once."""
    projector = new()
    await projector.refuse(cache.get("first"), "IdempotencyKeyReused")
    cache.put(make("first", status={name: value for name, value in cluster.statuses["first"].items() if value}))
    await projector.refuse(cache.get("first"), "IdempotencyKeyReused")
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
    assert (set(projector._written), projector._reported) == ({"uid-first"}, {"uid-first"})
    projector.retain(set())
    assert (projector._written, projector._reported) == ({}, set())


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
    await projector.repair(cache.get("first"), failed)
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
    await projector.refuse(cache.get("first"), "IdempotencyKeyReused")
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
    assert cluster.statuses == {"co-c1": None}
    assert {ending.ttl_from for ending in cache.endings().values()} == {seconds(plain.created)}


async def test_a_mirror_made_by_hand(new, view, cluster, cache, mirror):
    """A mirror of a resource's checkout, which only a person makes, shows that checkout."""
    cache.put(mirror("c1"))
    projector = new()
    await projector.repair(cache.get("co-c1"), view)
    await projector.flush()
    assert cluster.statuses["co-c1"]["phase"] == "Paying"


async def test_one_bad_resource_stops_no_other(new, view, cluster, metrics):
    """An error that nobody foresaw, met by one resource, is counted, and the others are written."""
    projector = new(mirror_mode="All")
    cluster.faults["create"] = [ValueError("odd")]
    projector.enqueue(rest(view))
    projector.enqueue(view)
    await projector.flush()
    assert cluster.statuses["first"]["phase"] == "Paying"
    assert metrics.faults._value.get() == 1


async def test_a_slow_write_delays_no_other(new, view, cluster, cache, make, monkeypatch):
    """While the API server takes long for one resource, changes of the others are written; its own newest one comes next."""
    monkeypatch.setattr(module, "COALESCE_SECONDS", 0.0)
    answer, patch_status = asyncio.Event(), cluster.patch_status

    async def slow(name, status):
        if name == "first" and not answer.is_set():
            await answer.wait()
        return await patch_status(name, status)

    monkeypatch.setattr(cluster, "patch_status", slow)
    for key in ("second", "third"):
        cache.put(make(key))
        cache.confirm(make(key))
    projector = new()
    running = asyncio.create_task(projector.run())
    async with asyncio.timeout(5):
        for name in ("first", "second", "third"):
            projector.enqueue(replace(view, key=f"uid-{name}"))
            while name != "first" and name not in cluster.statuses:
                assert not running.done()
                await asyncio.sleep(0)
            projector.enqueue(replace(view, version=4 + len(name)))
        assert "first" not in cluster.statuses
        answer.set()
        while cluster.statuses.get("first", {}).get("sagaVersion") != 10:
            assert not running.done()
            await asyncio.sleep(0)
    running.cancel()
    assert cluster.calls.count(("status", "first")) <= 2


async def test_a_comparison_of_what_is_shown_is_cheap(new, view, cluster, cache, make, monkeypatch):
    """A resource that shows its checkout is projected no further time, until its checkout or its status changes."""
    projector, projected = new(), []

    def count(*args):
        projected.append(args)
        return project(*args)

    monkeypatch.setattr(module, "project", count)
    for _ in range(3):
        await projector.repair(cache.get("first"), view)
        await projector.flush()
    assert cluster.calls == [("status", "first")]
    before = len(projected)
    for _ in range(3):
        await projector.repair(cache.get("first"), replace(view))
        await projector.flush()
    assert len(projected) == before
    await projector.repair(cache.get("first"), replace(view, note="the bank is slow"))
    await projector.flush()
    cache.put(make("first", status={"phase": "Completed"}))
    await projector.repair(cache.get("first"), replace(view, note="the bank is slow"))
    await projector.flush()
    assert cluster.calls == [("status", "first")] * 3


async def test_a_failure_whose_event_is_missing_is_not_settled(new, view, cluster, away):
    """A comparison reports a failure that could not be reported, though the resource shows it already."""
    projector, failed = new(), over(view)
    cluster.faults["event"] = [away()]
    projector.enqueue(failed)
    await projector.flush()
    for _ in range(2):
        await projector.repair(projector._cache.get("first"), failed)
        await projector.flush()
    assert cluster.events == [("first", "PaymentDeclined")]


async def test_a_mirror_of_what_has_ended_costs_two_writes(new, view, cluster):
    """A checkout that has ended when it is first seen costs its mirror's creation and one status."""
    projector = new()
    completed = replace(rest(view), saga_step="COMPLETED", finished_ms=int(time.time() * 1000), version=9)
    for one in (rest(view), completed, completed):
        projector.enqueue(one)
    await projector.flush()
    projector.enqueue(completed)
    await projector.flush()
    assert cluster.calls == [("create", "co-c1"), ("status", "co-c1")]


async def test_two_operators_at_once(cluster, config, view, make):
    """While an upgrade lets two operators overlap there is one mirror, one event, and no status that goes back."""
    caches, projectors = [], []
    for _ in range(2):
        cache, metrics, log = ResourceCache(), Metrics(), structlog.get_logger()
        cache.put(make("first"))
        cache.confirm(make("first"))
        policy, faults = MirrorPolicy(cache, config), Faults(metrics, log)
        projectors.append(Projector(cache, cluster, policy, faults=faults, metrics=metrics, log=log))
        caches.append(cache)
    failed, mirrored = over(view), rest(over(view))
    for number, one in enumerate((view, failed, mirrored, view)):
        for projector in projectors if number % 2 else projectors[::-1]:
            projector.enqueue(one)
            await projector.flush()
    assert (list(cluster.objects), {reason for _, reason in cluster.events}) == (["co-c1"], {"PaymentDeclined"})
    assert cluster.statuses["first"]["sagaVersion"] == failed.version
    assert all(cache.endings()["uid-first"].failed for cache in caches)


async def test_what_waits_for_a_writer_is_written_once(new, view, cluster, cache, make, monkeypatch):
    """While all writers are busy, however many changes of a checkout come, its resource costs one write: the latest."""
    answer, patch_status = asyncio.Event(), cluster.patch_status

    async def slow(name, status):
        await answer.wait()
        return await patch_status(name, status)

    monkeypatch.setattr(cluster, "patch_status", slow)
    projector, names = new(), [f"busy-{number}" for number in range(module.MAX_WRITERS)]
    for name in (*names, "last"):
        cache.put(make(name))
        cache.confirm(make(name))
        projector.enqueue(replace(view, key=f"uid-{name}"))
    writing = asyncio.create_task(projector.flush())
    for version in (4, 5, 6):
        await asyncio.sleep(0)
        projector.enqueue(replace(view, key="uid-last", version=version))
    answer.set()
    await writing
    await projector.flush()
    assert cluster.calls.count(("status", "last")) == 1
    assert cluster.statuses["last"]["sagaVersion"] == 6
