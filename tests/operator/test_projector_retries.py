"""Writes that the API server did not make are made again soon, each in its turn."""

import asyncio
from dataclasses import replace

import pytest

from checkout_operator import pending
from checkout_operator import projector as module
from checkout_operator.cluster import Forbidden, Refused
from checkout_operator.event_recorder import MOST_TRIES
from tests.operator.sagas import until
from tests.operator.views import over, rest


@pytest.mark.parametrize("name", ["first", "co-c1"])
async def test_a_write_that_failed_does_not_wait_for_a_comparison(new, view, cluster, away, monkeypatch, name):
    """A status or a mirror that an API server in its start does not take is shown soon after, and not only by the comparison."""
    monkeypatch.setattr(module, "COALESCE_SECONDS", 0.0)
    monkeypatch.setattr(pending, "RETRY_SECONDS", (0.0,) * 4)
    cluster.faults = {verb: [away(), Forbidden("not yet")] for verb in ("status", "create")}
    projector = new(mirror_mode="All")
    projector.enqueue(over(view) if name == "first" else rest(over(view)))
    await until(lambda: name in cluster.statuses, asyncio.create_task(projector.run()))
    assert cluster.statuses[name]["phase"] == "Failed"


async def test_a_write_that_a_rule_forbids_is_not_made_again(new, view, cluster, monkeypatch):
    """What the API server has refused by a rule it would refuse again: the comparison may try, and nobody else."""
    monkeypatch.setattr(pending, "RETRY_SECONDS", (0.0, 0.0))
    cluster.faults["status"] = [Refused("sagaVersion cannot go back")]
    projector = new()
    projector.enqueue(view)
    for _ in range(3):
        await projector.flush()
    assert cluster.calls == [("status", "first")]


async def test_an_outage_of_the_api_server_uses_up_no_tries_of_an_event(new, view, cluster, away, monkeypatch):
    """An event of trouble is told once the API server is back, however often the status could not be written meanwhile."""
    tries = 2 * MOST_TRIES
    monkeypatch.setattr(pending, "RETRY_SECONDS", (0.0,) * tries)
    cluster.faults = {verb: [away() for _ in range(tries)] for verb in ("status", "event")}
    projector = new()
    projector.enqueue(replace(view, saga_step="RELEASING", version=9))
    for _ in range(tries):
        await projector.flush()
    assert cluster.statuses == {}
    cluster.faults = {}
    await projector.flush()
    assert (cluster.statuses["first"]["phase"], cluster.events) == ("Compensating", [("first", "Compensating")])


async def test_a_pause_is_kept(new, view, cluster, away, monkeypatch):
    """A write that failed waits for its pause, while others are made."""
    monkeypatch.setattr(module, "COALESCE_SECONDS", 0.0)
    monkeypatch.setattr(pending, "RETRY_SECONDS", (3600.0,))
    cluster.faults["status"] = [away()]
    projector = new(mirror_mode="All")
    projector.enqueue(view)
    await until(lambda: cluster.calls, asyncio.create_task(projector.run()))
    for number in range(3):
        projector.enqueue(rest(over(view), number))
        await until(lambda name=f"co-c{number}": name in cluster.statuses, asyncio.create_task(projector.run()))
    assert cluster.calls.count(("status", "first")) == 1


async def test_an_unexpected_error_uses_up_no_tries(new, view, cluster, away, monkeypatch):
    """A write that fails after an error that nobody foresaw is tried again as often as any other."""
    monkeypatch.setattr(pending, "RETRY_SECONDS", (0.0,))
    cluster.faults["status"] = [away(), ValueError("odd"), away()]  # from the last to the first
    projector = new()
    projector.enqueue(view)
    for _ in range(2):
        await projector.flush()
    projector.enqueue(view)
    for _ in range(2):
        await projector.flush()
    assert cluster.statuses["first"]["phase"] == "Paying"
