"""What becomes of a resource that the checkout service does not take."""

import structlog

from checkout_operator.backlog import Backlog
from checkout_operator.live import Live
from checkout_operator.projector import Projector
from checkout_operator.reconciler import Reconciler
from checkout_operator.saga_client import SpecRefused
from checkout_operator.telemetry import Metrics


class Refusing:
    """A checkout service that takes no key."""

    async def start(self, resource):
        raise SpecRefused("idempotency_key must be another")

    async def of_resources(self, resources):
        return [None for _ in resources]

    async def by_rest(self, ended_within):
        return []


async def test_a_refused_spec_fails_in_words(cluster, config, make):
    """A spec that the API server accepts and the checkout service refuses is Failed, and its message says why."""
    live, metrics, log = Live(), Metrics(), structlog.get_logger()
    live.put(make("first", idempotencyKey="\u0378"))
    projector = Projector(live, cluster, config, metrics, log)
    reconciler = Reconciler(live, Backlog(), Refusing(), projector, metrics=metrics, log=log)
    await reconciler.look_at("first")
    status = cluster.statuses["first"]
    top = {one["type"]: one for one in status["conditions"]}
    assert (status["phase"], top["Finished"]["status"], top["Succeeded"]["reason"]) == ("Failed", "True", "InvalidSpec")
    assert top["Succeeded"]["message"] == "the checkout service refuses this spec: idempotency_key must be another"
    await reconciler.compare()
    assert cluster.calls.count(("status", "first")) == 1
