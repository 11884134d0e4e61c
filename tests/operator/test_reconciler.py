"""What is done for resources, one by one, and what one of them may do to the others."""

import asyncio

import pytest
import structlog

from checkout_operator.cache import ResourceCache
from checkout_operator.faults import Faults
from checkout_operator.mirrors import MirrorPolicy
from checkout_operator.projector import Projector
from checkout_operator.reconciler import Reconciler
from checkout_operator.saga_client import SagaUnavailable, SpecRefused
from checkout_operator.telemetry import Metrics
from checkout_operator.workqueue import WorkQueue


class Sagas:
    """Stands in for the checkout service: knows checkouts by their resource's name, and fails for `bad` ones."""

    def __init__(self, views):
        self.views, self.bad, self.started = views, set(), []

    async def start(self, resource):
        self.started.append(resource.name)
        if resource.name in self.bad:
            raise ValueError("odd")
        return self.views[resource.name]

    async def get_for(self, resources):
        return [self.views.get(one.name) for one in resources]

    async def list_rest(self, ended_within):
        return []


@pytest.fixture
def cache():
    """No resources yet."""
    return ResourceCache()


@pytest.fixture
def sagas(view):
    """The checkout service, with the checkout of `first`."""
    return Sagas({"first": view})


@pytest.fixture
def metrics():
    """What is counted."""
    return Metrics()


@pytest.fixture
def queue():
    """The work queue."""
    return WorkQueue()


@pytest.fixture
def projector(cache, cluster, config, metrics):
    """A projector."""
    log = structlog.get_logger()
    policy = MirrorPolicy(cache, config)
    return Projector(cache, cluster, policy, faults=Faults(metrics, log), metrics=metrics, log=log)


@pytest.fixture
def reconciler(cache, queue, sagas, projector, metrics):
    """A reconciler."""
    log = structlog.get_logger()
    return Reconciler(cache, queue, sagas, projector, faults=Faults(metrics, log), metrics=metrics, log=log)


async def test_one_bad_resource_stops_no_other(reconciler, cache, queue, sagas, projector, cluster, metrics, make):
    """An error that nobody foresaw, met by one resource, is counted and tried again later; the next one is started."""
    sagas.bad.add("bad")
    for name in ("bad", "first"):
        cache.put(make(name))
        queue.add(name)
    worker = asyncio.create_task(reconciler.work())
    while "first" not in sagas.started:
        assert not worker.done()
        await asyncio.sleep(0)
    worker.cancel()
    await projector.flush()
    assert cluster.statuses["first"]["phase"] == "Paying"
    assert metrics.faults._value.get() == 1
    assert len(queue) >= 1  # the bad one waits for its next try


async def test_one_that_cannot_be_looked_up_stops_no_other(reconciler, cache, sagas, projector, cluster, make, view):
    """A comparison goes on past a resource whose checkout the service fails to look up."""
    sagas.views["bad"] = SagaUnavailable("internal error")
    for name in ("bad", "first"):
        cache.put(make(name))
        cache.confirm(make(name))
    await reconciler.compare()
    await projector.flush()
    assert (list(cluster.statuses), cluster.statuses["first"]["checkoutId"]) == (["first"], view.id)


FORGED = [
    {"phase": "Completed", "checkoutId": "c9", "finishedAt": "2020-01-01T00:00:00Z", "sagaVersion": 1000},
    {"phase": "Failed", "conditions": [{"type": "Finished", "status": "True"}], "observedGeneration": 9},
]


@pytest.mark.parametrize("status", FORGED)
async def test_a_status_starts_and_stops_nothing(reconciler, cache, sagas, make, status):
    """A resource is started whatever its status says; one that is started already is not started again."""
    cache.put(make("first", status=status))
    await reconciler.reconcile("first")
    cache.put(make("first", status=status))
    await reconciler.reconcile("first")
    assert sagas.started == ["first"]


@pytest.mark.parametrize("status", FORGED)
async def test_a_status_is_repaired(reconciler, cache, projector, cluster, make, view, status):
    """The comparison writes what the checkout says over whatever somebody wrote, claimed versions included."""
    cluster.statuses["first"] = status
    cache.put(make("first", status=status))
    cache.confirm(make("first"))
    await reconciler.compare()
    await projector.flush()
    shown = cluster.statuses["first"]
    assert (shown["phase"], shown["checkoutId"], shown["sagaVersion"]) == ("Paying", view.id, view.version)
    assert cache.endings() == {}


async def test_a_mirror_of_nothing(reconciler, cache, cluster, mirror):
    """A mirror whose checkout the service does not know is never started, and counts as ended since its creation."""
    cache.put(mirror("c9", FORGED[0]))
    await reconciler.compare()
    assert cluster.statuses == {"co-c9": None}
    assert list(cache.endings()) == ["uid-co-c9"]


async def test_a_refused_spec_fails_in_words(reconciler, cache, sagas, cluster, make, monkeypatch):
    """A spec that the API server accepts and the checkout service refuses is Failed, and its message says why."""

    async def refuse(_resource):
        raise SpecRefused("idempotency_key must be another")

    monkeypatch.setattr(sagas, "start", refuse)
    sagas.views.clear()
    cache.put(make("first", idempotencyKey="\u0378"))
    await reconciler.reconcile("first")
    status = cluster.statuses["first"]
    top = {one["type"]: one for one in status["conditions"]}
    assert (status["phase"], top["Finished"]["status"], top["Succeeded"]["reason"]) == ("Failed", "True", "InvalidSpec")
    assert top["Succeeded"]["message"] == "the checkout service refuses this spec: idempotency_key must be another"
    await reconciler.compare()
    assert cluster.calls.count(("status", "first")) == 1
