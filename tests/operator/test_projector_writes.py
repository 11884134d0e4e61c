"""No write that nobody needs, and none that another one waits for."""

import asyncio
import time
from dataclasses import replace

import pytest
import structlog

from checkout_operator import pending
from checkout_operator import projector as module
from checkout_operator.cache import ResourceCache
from checkout_operator.faults import Faults
from checkout_operator.mirrors import MirrorPolicy
from checkout_operator.projector import Projector
from checkout_operator.status import project
from checkout_operator.telemetry import Metrics
from tests.operator.views import at, over, rest


async def test_a_write_that_failed_is_repaired(new, view, cluster, cache, make, away, monkeypatch):
    """What could not be written is written by the next comparison, also where somebody claims to be newer."""
    monkeypatch.setattr(pending, "RETRY_SECONDS", ())
    projector = new()
    cluster.faults["status"] = [away()]
    projector.enqueue(view)
    await projector.flush()
    assert cluster.statuses == {}
    cluster.statuses["first"] = {"sagaVersion": 1000, "phase": "Completed"}
    cache.put(make("first", status=cluster.statuses["first"]))
    await projector.repair(cache.get(at("first")), view)
    await projector.flush()
    assert (cluster.statuses["first"]["sagaVersion"], cluster.statuses["first"]["phase"]) == (3, "Paying")


async def test_a_write_that_failed_is_made_again(new, view, cluster, cache, away, monkeypatch):
    """A status that could not be written, and that nobody has touched since, is written by the next comparison."""
    monkeypatch.setattr(pending, "RETRY_SECONDS", ())
    projector = new()
    cluster.faults["status"] = [away()]
    projector.enqueue(view)
    await projector.flush()
    assert cluster.statuses == {}
    await projector.repair(cache.get(at("first")), view)
    await projector.flush()
    assert cluster.statuses["first"]["phase"] == "Paying"


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
    answer, replace_status = asyncio.Event(), cluster.replace_status

    async def slow(name, status, *uid):
        if name == at("first") and not answer.is_set():
            await answer.wait()
        return await replace_status(name, status, *uid)

    monkeypatch.setattr(cluster, "replace_status", slow)
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


async def until(condition):
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)


async def test_a_purchase_that_soon_ends_is_mirrored_once(new, view, cluster, monkeypatch):
    """The mirror of a purchase of REST waits for a moment while it runs: one that has ended by then is created and written once.

    What somebody applied does not wait.
    """
    monkeypatch.setattr(module, "COALESCE_SECONDS", 0.0)
    monkeypatch.setattr(module, "MIRROR_AFTER_SECONDS", 3600)
    projector = new(mirror_mode="All")
    running = asyncio.create_task(projector.run())
    projector.enqueue(rest(view))
    projector.enqueue(view)
    await until(lambda: "first" in cluster.statuses)
    projector.enqueue(over(rest(view, 2)))
    await until(lambda: "co-c2" in cluster.statuses)
    assert "co-c1" not in cluster.objects
    projector.enqueue(over(rest(view)))
    await until(lambda: "co-c1" in cluster.statuses)
    assert [verb for verb, name in cluster.calls if name == "co-c1"] == ["create", "status"]
    running.cancel()


async def test_a_purchase_that_takes_its_time_is_mirrored_while_it_runs(new, view, cluster, monkeypatch):
    """Once it has run for a moment it has a mirror, whose changes wait no longer than others."""
    monkeypatch.setattr(module, "COALESCE_SECONDS", 0.0)
    monkeypatch.setattr(module, "MIRROR_AFTER_SECONDS", 0.05)
    projector = new(mirror_mode="All")
    running = asyncio.create_task(projector.run())
    projector.enqueue(rest(view))
    await until(lambda: "co-c1" in cluster.statuses)
    assert cluster.statuses["co-c1"]["phase"] == "Paying"
    monkeypatch.setattr(module, "MIRROR_AFTER_SECONDS", 3600)
    projector.enqueue(replace(rest(view), version=view.version + 1))
    await until(lambda: cluster.statuses["co-c1"]["sagaVersion"] == view.version + 1)
    running.cancel()


async def test_what_waits_is_written_by_a_flush(new, view, cluster):
    """A process that stops leaves no purchase unmirrored because it was young."""
    projector = new(mirror_mode="All")
    projector.enqueue(rest(view))
    await projector.flush()
    assert "co-c1" in cluster.statuses


async def test_a_comparison_of_what_is_shown_is_cheap(new, view, cluster, cache, make, monkeypatch):
    """A resource that shows its checkout is projected no further time, until its checkout or its status changes."""
    projector, projected = new(), []

    def count(*args):
        projected.append(args)
        return project(*args)

    monkeypatch.setattr(module, "project", count)
    for _ in range(3):
        await projector.repair(cache.get(at("first")), view)
        await projector.flush()
    assert cluster.calls == [("status", "first")]
    before = len(projected)
    for _ in range(3):
        await projector.repair(cache.get(at("first")), replace(view))
        await projector.flush()
    assert len(projected) == before
    await projector.repair(cache.get(at("first")), replace(view, note="the bank is slow"))
    await projector.flush()
    cache.put(make("first", status={"phase": "Completed"}))
    await projector.repair(cache.get(at("first")), replace(view, note="the bank is slow"))
    await projector.flush()
    assert cluster.calls == [("status", "first")] * 3


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
    answer, replace_status = asyncio.Event(), cluster.replace_status

    async def slow(name, status, *uid):
        await answer.wait()
        return await replace_status(name, status, *uid)

    monkeypatch.setattr(cluster, "replace_status", slow)
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


@pytest.mark.parametrize(
    ("before", "foreign", "ours_is_told"),
    [(None, {"phase": "Completed", "sagaVersion": 3}, False), ({"phase": "Completed"}, {"phase": "Completed"}, True)],
    ids=["another status", "the same as before ours"],
)
async def test_somebody_else_writes_meanwhile(
    new, view, cluster, cache, make, monkeypatch, before, foreign, ours_is_told
):
    """A status that somebody writes while the reply to our own is on its way is noticed and repaired, not taken for ours.

    It may be what was there before ours.
    """
    replace_status = cluster.replace_status

    async def overtaken(name, status, *uid):
        done = await replace_status(name, status, *uid)
        if len(cluster.calls) == 1:  # the watch tells it before the reply comes
            for told in (status, foreign) if ours_is_told else (foreign,):
                cluster.statuses[name.name] = told
                cache.put(make(name.name, status=told))
        return done

    cluster.statuses["first"] = before
    cache.put(make("first", status=before))
    monkeypatch.setattr(cluster, "replace_status", overtaken)
    projector = new()
    projector.enqueue(view)
    await projector.flush()
    assert cluster.statuses["first"] == foreign
    await projector.repair(cache.get(at("first")), view)
    await projector.flush()
    assert cluster.statuses["first"]["phase"] == "Paying"
