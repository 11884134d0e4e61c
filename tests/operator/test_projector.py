"""What is written to the API server: the latest state, once, within the budget of mirrors, and told of once."""

import asyncio
import time
from dataclasses import replace

import pytest
import structlog

from checkout_operator import projector as module
from checkout_operator.live import Live
from checkout_operator.projector import MIRROR_WITHIN_SECONDS, Projector
from checkout_operator.telemetry import Metrics


@pytest.fixture
def live(make):
    """The resource `first`, known to be the checkout's own."""
    live = Live()
    live.put(make("first"))
    live.confirm(make("first"))
    return live


@pytest.fixture
def metrics():
    """What is counted."""
    return Metrics()


@pytest.fixture
def new(live, cluster, config, metrics):
    """Make a projector with settings of its own."""
    return lambda **settings: Projector(
        live, cluster, config.model_copy(update=settings), metrics, structlog.get_logger()
    )


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
        projector.offer(replace(view, version=version))
    await projector.flush()
    projector.offer(replace(view, version=5))
    await projector.flush()
    assert cluster.calls == [("status", "first")]
    assert cluster.statuses["first"]["sagaVersion"] == 5


async def test_an_end_is_shown_at_once(new, view, cluster, monkeypatch):
    """An end does not wait for the moment in which changes are gathered."""
    monkeypatch.setattr(module, "COALESCE_SECONDS", 3600)
    projector = new()
    running = asyncio.create_task(projector.run())
    projector.offer(view)
    await asyncio.sleep(0)
    assert cluster.calls == []
    shown, patch_status = asyncio.Event(), cluster.patch_status

    async def told(name, status):
        shown.set()
        return await patch_status(name, status)

    cluster.patch_status = told
    projector.offer(over(view))
    await asyncio.wait_for(shown.wait(), 5)
    assert cluster.statuses["first"]["phase"] == "Failed"
    running.cancel()


async def test_an_event_comes_before_its_status(new, view, cluster, away):
    """A failure is told of before it is shown: who is killed in between tells again, and nothing is told never."""
    projector = new()
    cluster.faults["status"] = [away()]
    projector.offer(over(view))
    await projector.flush()
    assert cluster.calls == [("event", "first"), ("status", "first")]
    projector.offer(over(view))
    await projector.flush()
    assert cluster.events == [("first", "PaymentDeclined")] * 2  # by one name: the API server keeps one
    projector.offer(over(view))
    await projector.flush()
    assert len(cluster.events) == 2


async def test_an_event_that_failed_is_told_later(new, view, cluster, live, make, away):
    """A failure that could not be told of, though its status was written, is told of by the next comparison, once."""
    projector = new()
    cluster.faults["event"] = [away(), away()]
    projector.offer(over(view))
    await projector.flush()
    assert cluster.events == []
    live.put(make("first", status=cluster.statuses["first"]))
    for told in (0, 1, 1):
        await projector.repair(live.get("first"), over(view))
        assert len(cluster.events) == told
    assert cluster.calls == [("event", "first"), ("status", "first"), ("event", "first"), ("event", "first")]


async def test_a_refusal_that_could_not_be_told(new, cluster, live, make, away):
    """So is that of a resource that never became a checkout."""
    projector = new()
    cluster.faults["event"] = [away()]
    for _ in range(3):
        await projector.refuse(live.get("first"), "IdempotencyKeyReused")
        live.put(make("first", status={name: value for name, value in cluster.statuses["first"].items() if value}))
    assert cluster.calls == [("event", "first"), ("status", "first"), ("event", "first")]


async def test_a_success_and_a_mirror_are_not_told_of(new, view, cluster):
    """Events are about failures of resources alone."""
    projector = new()
    projector.offer(replace(view, saga_step="COMPLETED", finished_ms=1, version=9))
    projector.offer(rest(over(view)))
    await projector.flush()
    assert cluster.events == []
    assert {name: status["phase"] for name, status in cluster.statuses.items()} == {
        "first": "Completed",
        "co-c1": "Failed",
    }


async def test_a_write_that_failed_is_repaired(new, view, cluster, live, make, away):
    """What could not be written is written by the next comparison, also where somebody claims to be newer."""
    projector = new()
    cluster.faults["status"] = [away()]
    projector.offer(view)
    await projector.flush()
    assert cluster.statuses == {}
    cluster.statuses["first"] = {"sagaVersion": 1000, "phase": "Completed"}
    live.put(make("first", status=cluster.statuses["first"]))
    await projector.repair(live.get("first"), view)
    await projector.flush()
    assert (cluster.statuses["first"]["sagaVersion"], cluster.statuses["first"]["phase"]) == (3, "Paying")


async def test_a_key_of_other_items(new, cluster, live, make):
    """What never became a checkout is shown and told of as that, once."""
    projector = new()
    await projector.refuse(live.get("first"), "IdempotencyKeyReused")
    live.put(make("first", status={name: value for name, value in cluster.statuses["first"].items() if value}))
    await projector.refuse(live.get("first"), "IdempotencyKeyReused")
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
        projector.offer(rest(view, number))
    await projector.flush()
    assert len(cluster.objects) == 3
    assert metrics.skipped.labels("objects")._value.get() == 17
    for number in range(20):  # the comparison offers them again and again
        projector.offer(rest(view, number))
    await projector.flush()
    assert metrics.skipped.labels("objects")._value.get() == 17


async def test_the_budget_of_writes(new, view, cluster, metrics, monkeypatch):
    """Mirrors are made, and those that run are written, no faster than the budget allows; an end is always shown."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    projector = new(mirror_max_writes_per_second=4)
    for number in range(10):
        projector.offer(rest(view, number))
    await projector.flush()
    made = list(cluster.objects)
    assert len(made) + len(cluster.statuses) == 4
    assert metrics.skipped.labels("rate")._value.get() == 10 - len(made)
    now[0] += 1
    await projector.flush()  # what was left pending is written now
    assert set(cluster.statuses) == set(made)
    while projector._spend():
        pass
    for number in range(10):
        projector.offer(replace(rest(view, number), saga_step="COMPLETED", version=9))
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
async def test_which_are_mirrored(new, view, cluster, live, mirror, mode, late, gone, made):
    """What failed is mirrored unless nobody wants it, it is long over, or its mirror was there and was deleted."""
    if gone:
        live.put(mirror("c1"))
        live.drop(mirror("c1"))
    ended = rest(over(view))
    if late:
        ended = replace(ended, finished_ms=ended.finished_ms - int(MIRROR_WITHIN_SECONDS + 1) * 1000)
    projector = new(mirror_mode=mode, mirror_failure_ttl=77)
    projector.offer(ended)
    await projector.flush()
    assert ("co-c1" in cluster.objects) is made
    if made:
        assert cluster.objects["co-c1"]["spec"]["ttlSecondsAfterFinished"] == 77


async def test_a_success_is_no_failure(new, view, cluster):
    """With `Failures` neither what runs nor what completed is mirrored."""
    projector = new(mirror_mode="Failures")
    projector.offer(rest(view))
    projector.offer(replace(rest(view, 2), saga_step="COMPLETED", finished_ms=int(time.time() * 1000)))
    await projector.flush()
    assert cluster.calls == []


async def test_nothing_is_kept_of_what_is_gone(new, view, cluster, away):
    """What was written to a resource, and what is left to tell of it, is forgotten once it is gone."""
    projector = new()
    cluster.faults["event"] = [away()]
    projector.offer(over(view))
    await projector.flush()
    projector.keep({"uid-first"})
    assert (set(projector._written), projector._untold) == ({"uid-first"}, {"uid-first"})
    projector.keep(set())
    assert (projector._written, projector._untold) == ({}, set())


async def test_when_an_end_was_shown(new, view, live, make):
    """When this process first showed an end is known, until the resource is gone; what runs has not been shown so."""
    projector = new()
    projector.offer(view)
    await projector.flush()
    assert live.ends_shown() == {}
    before = time.time()
    projector.offer(over(view))
    await projector.flush()
    first = live.ends_shown()["uid-first"]
    assert before <= first <= time.time()
    await projector.refuse(live.get("first"), "IdempotencyKeyReused")
    assert live.ends_shown() == {"uid-first": first}
    live.drop(make("first"))
    assert live.ends_shown() == {}
