"""Each failure of a resource has one event, whatever fails meanwhile."""

from dataclasses import replace

from checkout_operator.status import project
from tests.operator.views import at, over, rest


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
        await projector.repair(cache.get(at("first")), over(view))
        await projector.flush()
        assert len(cluster.events) == reported
    assert cluster.calls == [("event", "first"), ("status", "first"), ("event", "first"), ("event", "first")]


async def test_a_refusal_whose_event_failed(new, cluster, cache, make, away):
    """So is that of a resource that never became a checkout."""
    projector = new()
    cluster.faults["event"] = [away()]
    for _ in range(3):
        await projector.refuse(cache.get(at("first")), "IdempotencyKeyReused")
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


async def test_a_failure_whose_event_is_missing_is_not_settled(new, view, cluster, away):
    """A comparison reports a failure that could not be reported, though the resource shows it already."""
    projector, failed = new(), over(view)
    cluster.faults["event"] = [away()]
    projector.enqueue(failed)
    await projector.flush()
    for _ in range(2):
        await projector.repair(projector._cache.get(at("first")), failed)
        await projector.flush()
    assert cluster.events == [("first", "PaymentDeclined")]
