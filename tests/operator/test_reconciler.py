"""What is done for resources, one by one, and what one of them may do to the others."""

import asyncio
import dataclasses
import time

import pytest
import structlog
from msgspec.structs import replace

from checkout_operator import event_recorder
from checkout_operator.cache import ResourceCache
from checkout_operator.faults import Faults
from checkout_operator.reconciler import BATCH, Reconciler
from checkout_operator.saga_client import KeyReused, SagaUnavailable, SpecRefused
from tests.operator.sagas import FORGED_STATUSES, until
from tests.operator.views import at


@pytest.fixture
def cache():
    """No resources yet."""
    return ResourceCache()


async def run_worker(reconciler, check):
    """Let one worker run until something is so."""
    await until(check, asyncio.create_task(reconciler.work()))


@pytest.mark.parametrize("bad_is", [ValueError("odd"), object()], ids=["to send", "to read"])
async def test_one_bad_resource_stops_no_other(
    reconciler, cache, queue, sagas, projector, cluster, metrics, make, bad_is
):
    """An error that nobody foresaw, met by one resource, is counted and tried again later; the others are started."""
    sagas.views["bad"] = bad_is
    for name in ("bad", "first"):
        cache.put(make(name))
        queue.add(at(name))
    await run_worker(reconciler, lambda: metrics.faults._value.get() == 1 and len(queue) == 1)
    await projector.flush()
    assert cluster.statuses["first"]["phase"] == "Paying"


async def test_starts_ride_together(reconciler, cache, queue, sagas, make, view):
    """All that wait are started in one call; those to be cancelled go in another one."""
    for number in range(BATCH + 1):
        sagas.views[f"r{number}"] = view
        cache.put(make(f"r{number}", cancelRequested=number < 2))
        queue.add(at(f"r{number}"))
    await run_worker(reconciler, lambda: not len(queue) and len(sagas.started) == BATCH - 1)
    assert sagas.cancelled == [["r0", "r1"]]
    assert [len(names) for names in sagas.calls] == [BATCH - 2, 1]


async def test_one_of_a_batch_is_refused_alone(reconciler, cache, sagas, projector, cluster, make, view):
    """What the service refuses of a batch fails for its own reason, and the others are started."""
    sagas.errors |= {"reused": KeyReused(), "invalid": SpecRefused("no")}
    for name in ("reused", "first", "invalid"):
        cache.put(make(name))
    assert await reconciler.reconcile([at("reused"), at("first"), at("invalid")]) == set()
    await projector.flush()
    reasons = {name: status["conditions"][0]["reason"] for name, status in cluster.statuses.items()}
    assert reasons == {"reused": "IdempotencyKeyReused", "invalid": "InvalidSpec", "first": "Paying"}


async def test_one_of_a_batch_is_retried_alone(reconciler, cache, queue, sagas, make, view):
    """What the service cannot start now is tried again with its own delay, and alone."""
    sagas.errors["busy"] = SagaUnavailable("busy")
    for name in ("busy", "first"):
        sagas.views[name] = view
        cache.put(make(name))
        queue.add(at(name))
    await run_worker(reconciler, lambda: len(queue) == 1 and sagas.calls)
    sagas.errors.clear()
    await run_worker(reconciler, lambda: len(sagas.calls) == 2)
    assert sagas.calls == [["busy", "first"], ["busy"]]


async def test_the_same_name_twice(reconciler, cache, queue, sagas, make):
    """A resource that is reported twice is started once, also where the second report comes while it is being started."""
    cache.put(make("first"))
    queue.add(at("first"))
    queue.add(at("first"))
    (name,) = await queue.get(BATCH)
    queue.add(at("first"))
    assert await reconciler.reconcile([name]) == set()
    queue.done(name)
    assert await reconciler.reconcile(await queue.get(BATCH)) == set()
    assert sagas.calls == [["first"]]


@pytest.mark.parametrize("sign", ["a start", "a comparison", "a change"])
async def test_the_service_is_back(reconciler, cache, queue, sagas, make, view, sign):
    """All that had no answer is tried again at once when the service answers anything, however long it had been away."""
    sagas.away = True
    sagas.views |= {"second": view, "third": view}
    for name in ("first", "second"):
        cache.put(make(name))
        queue.add(at(name))
    names = await queue.get(BATCH)
    for _ in range(10):
        assert await reconciler.reconcile(names) == {at("first"), at("second")}
    for name in names:
        queue.retry(name)
    sagas.away = False
    sagas.calls.clear()
    if sign == "a start":
        cache.put(make("third"))
        assert await reconciler.reconcile([at("third")]) == set()
    elif sign == "a comparison":
        await reconciler.compare()
    else:
        sagas.changes = [view]
        await until(lambda: not sagas.changes, asyncio.create_task(reconciler.follow()))
    assert sorted(queue._waiting) == [at("first"), at("second")]  # no delay is left


@pytest.mark.parametrize("status", FORGED_STATUSES)
async def test_a_status_starts_and_stops_nothing(reconciler, cache, sagas, make, status):
    """A resource is started whatever its status says; one that is started already is not started again."""
    cache.put(make("first", status=status))
    await reconciler.reconcile([at("first")])
    cache.put(make("first", status=status))
    await reconciler.reconcile([at("first")])
    assert sagas.started == ["first"]


async def test_one_that_comes_back(reconciler, cache, sagas, projector, cluster, make):
    """A resource that leaves the watch and comes back, as its label does, is shown again; it is no reuse of its own key."""
    cache.put(make("first"))
    await reconciler.reconcile([at("first")])
    cache.remove(make("first"))
    cache.put(make("first"))
    await reconciler.reconcile([at("first")])
    await reconciler.compare()
    await projector.flush()
    assert (sagas.started, cluster.statuses["first"]["phase"]) == (["first", "first"], "Paying")


async def test_the_same_name_in_two_namespaces(reconciler, cache, sagas, make):
    """Two resources of one name in two namespaces are two purchases."""
    first = make("first")
    other = replace(first, namespace="other", uid="uid-other", spec=replace(first.spec, key="uid-other"))
    for one in (first, other):
        cache.put(one)
    assert await reconciler.reconcile([first.namespaced_name, other.namespaced_name]) == set()
    assert sagas.started == ["first", "first"]
    cache.remove(first)
    assert cache.all() == [other]


async def test_a_refused_spec_fails_in_words(reconciler, cache, sagas, cluster, make):
    """A spec that the API server accepts and the checkout service refuses is Failed, and its message says why."""
    sagas.errors["first"] = SpecRefused("idempotency_key must be another")
    sagas.views.clear()
    cache.put(make("first", idempotencyKey="\u0378"))
    await reconciler.reconcile([at("first")])
    status = cluster.statuses["first"]
    top = {one["type"]: one for one in status["conditions"]}
    assert (status["phase"], top["Finished"]["status"], top["Succeeded"]["reason"]) == ("Failed", "True", "InvalidSpec")
    assert top["Succeeded"]["message"] == "the checkout service refuses this spec: idempotency_key must be another"
    for _ in range(3):
        await reconciler.compare()
    assert cluster.calls.count(("status", "first")) == 1


async def test_a_refused_spec_is_not_tried_again(reconciler, cache, queue, sagas, cluster, make):
    """What the checkout service refuses once it would refuse each time: it is asked once, and a forged status is put right."""
    sagas.errors["first"] = SpecRefused("no")
    sagas.views.clear()
    cache.put(make("first"))
    await reconciler.reconcile([at("first")])
    cache.put(make("first", status=FORGED_STATUSES[0]))
    for _ in range(3):
        await reconciler.compare()
        assert len(queue) == 0
    assert sagas.started == ["first"]
    assert cluster.statuses["first"]["phase"] == "Failed"
    cache.put(make("first", generation=2, cancelRequested=True))
    await reconciler.reconcile([at("first")])
    assert sagas.cancelled == [["first"]]  # a cancellation is another question


async def test_a_change_overtakes_the_start(reconciler, cache, sagas, projector, cluster, make, view):
    """A change that the stream brings before the start is answered is shown, and does not wait for a comparison."""
    later = dataclasses.replace(view, version=view.version + 1, steps=view.steps[:2], saga_step="PAID")

    async def start(resources):
        for change in (later, dataclasses.replace(view, version=view.version - 1)):
            projector.enqueue(change)
        return [view for _ in resources]

    sagas.start = start
    cache.put(make("first"))
    assert await reconciler.reconcile([at("first")]) == set()
    await projector.flush()
    assert cluster.statuses["first"]["sagaVersion"] == later.version


async def test_a_change_of_another_resources_checkout(reconciler, cache, sagas, projector, cluster, make, view):
    """A checkout that has a resource's key and is about other items is not shown by it, whenever its changes come."""
    sagas.errors["first"] = KeyReused()
    cache.put(make("first"))
    projector.enqueue(view)
    await reconciler.reconcile([at("first")])
    projector.enqueue(dataclasses.replace(view, version=view.version + 1))
    await projector.flush()
    assert cluster.statuses["first"]["conditions"][0]["reason"] == "IdempotencyKeyReused"


async def test_an_answer_ends_what_was_unanswered(
    reconciler, cache, sagas, projector, cluster, make, view, monkeypatch
):
    """What was unanswered for a moment, then answered, is told of only where it lasts anew."""
    began = time.monotonic()
    for later, away in ((0, True), (1, False), (300, True)):
        monkeypatch.setattr(event_recorder.time, "monotonic", lambda later=later: began + later)
        sagas.away = away
        cache.put(make("first", cancelRequested=later > 1))
        await reconciler.reconcile([at("first")])
    assert sagas.cancelled == [["first"]]
    assert cluster.events == []


async def test_the_backlog_is_what_is_not_done(reconciler, cache, queue, sagas, metrics, make):
    """During an outage the backlog is what waits for the service, whenever it is asked."""
    sagas.away = True
    for name in ("first", "second"):
        cache.put(make(name))
        queue.add(at(name))
    seen = set()

    def waits():
        seen.add(backlog(metrics))
        return len(sagas.calls) > 2 and seen >= {2}

    await run_worker(reconciler, waits)
    assert seen == {2.0}


async def test_the_time_of_a_comparison_is_the_api_servers(cache, queue, sagas, projector, metrics):
    """Prometheus compares it with its own clock; that of the operator's machine may be an hour off."""
    log = structlog.get_logger()
    faults = Faults(metrics, log)
    reconciler = Reconciler(cache, queue, sagas, projector, faults=faults, metrics=metrics, log=log, clock=lambda: 7.0)
    await reconciler.compare()
    assert metrics.compared_at._value.get() == 7.0


def backlog(metrics):
    """Give the backlog as Prometheus sees it."""
    return metrics.registry.get_sample_value("checkout_operator_backlog")
