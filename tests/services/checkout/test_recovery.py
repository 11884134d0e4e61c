"""Recovery on both stores: it drives what nobody drives, and nothing else."""

from datetime import UTC, datetime

import pytest
import structlog

from services.chassis.telemetry import Metrics
from services.checkout.domain import LostLease, Reason, Status, Step
from services.checkout.recovery import Recovery
from services.checkout.saga import Move, apply
from services.errors import InternalError, Invalid, OutcomeUnknown, Unavailable

HOUR = 3600.0


@pytest.fixture
def metrics():
    """The worker's metrics."""
    return Metrics()


@pytest.fixture
def worker(table, new_driver, metrics):
    """A recovery worker."""
    sessions = table.sessions("recovery")
    return Recovery(sessions, new_driver(sessions).advance, structlog.get_logger(), metrics)


@pytest.fixture
def left_behind(table, user, make_claim):
    """Claim a checkout, take it as far as told, and let its process die."""

    async def left_behind(key="k", steps=(), due=1.0):
        dead = table.sessions("dead")
        session = await dead.claim(make_claim(user + len(key) * 10**9, key))
        for step in steps:
            reason = Reason.OUT_OF_STOCK if step is Step.RELEASING else None
            session = await dead.move(session, apply(session, Move(step, reason), datetime.now(UTC)))
        await table.lapse(session.id, due=due)
        return session

    return left_behind


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        ([], Status.COMPLETED),
        ([Step.RESERVED], Status.COMPLETED),
        ([Step.RESERVED, Step.PAYING], Status.COMPLETED),
        ([Step.RESERVED, Step.PAYING, Step.PAID], Status.COMPLETED),
        ([Step.RELEASING], Status.FAILED),
        ([Step.RESERVED, Step.PAYING, Step.CANCELLING], Status.FAILED),
    ],
)
async def test_what_nobody_drives_ends(worker, table, left_behind, steps, end):
    """A saga whose process died after any step is driven to its end, and told of once."""
    session = await left_behind(steps=steps)
    assert [await worker.run_once(), await worker.run_once()] == [1, 0]
    assert (await table.sessions().load(session.id)).status is end
    assert len(await table.events()) == (end is Status.COMPLETED)


async def test_what_is_driven_or_parked_for_later_is_left_alone(worker, table, left_behind, user, make_claim):
    """A saga under a lease, and one whose next attempt is not due, are not touched."""
    driven = await table.sessions("alive").claim(make_claim(user))
    parked = await left_behind("parked", due=-HOUR)
    assert await worker.run_once() == 0
    for session in (driven, parked):
        now = await table.sessions().load(session.id)
        assert (now.step, now.lease_epoch) == (session.step, session.lease_epoch)


@pytest.mark.parametrize(
    "fault",
    [
        Unavailable("payment is away"),
        OutcomeUnknown("no answer"),
        LostLease("x"),
        InternalError(),
        Invalid("another payment"),
        ZeroDivisionError("secret"),
    ],
)
async def test_one_that_does_not_end_does_not_hold_up_the_others(worker, table, left_behind, payments, fault):
    """Whatever stops one saga, an unexpected failure too, is no end of the worker: the others end, and it goes on."""
    stuck, other = await left_behind("stuck"), await left_behind("other-one")
    payments.faults["stuck"] = fault
    assert await worker.run_once() == 1
    assert (await table.sessions().load(stuck.id)).step is Step.PAYING
    assert (await table.sessions().load(other.id)).status is Status.COMPLETED


async def test_an_unexpected_failure_of_a_saga_is_counted(worker, left_behind, payments, metrics):
    """What fails unexpectedly in recovery is counted as a failure of ours; what a part answered is counted there."""
    for key, error in (("one", InternalError()), ("another", ZeroDivisionError())):
        payments.faults[key] = error
        await left_behind(key)
    assert await worker.run_once() == 0
    assert metrics.registry.get_sample_value("cartwright_internal_errors_total", {"where": "recovery"}) == 1


async def test_one_that_met_a_fault_is_tried_again_later(worker, table, left_behind, payments):
    """A saga that a part's absence has stopped is parked with the reason, and ends once the part is back."""
    session = await left_behind("stuck")
    payments.faults["stuck"] = Unavailable("payment is away")
    assert await worker.run_once() == 0
    assert await table.error(session.id) == "payment is away"
    await table.lapse(session.id)
    assert await worker.run_once() == 1
    assert payments.charged == ["stuck", "stuck"]


async def test_a_driver_that_wakes_up_late_changes_nothing(worker, table, left_behind, new_driver, payments):
    """A process stopped in the middle of a charge and overtaken by recovery hears that its lease is lost."""
    session = await left_behind("k")
    payments.rivals["k"] = worker.run_once
    with pytest.raises(LostLease):
        await new_driver(table.sessions("dead")).advance(session)
    assert (await table.sessions().load(session.id)).status is Status.COMPLETED
    assert len(await table.events()) == 1


async def test_the_oldest_checkout_under_way_is_shown(worker, left_behind, metrics):
    """The age of the oldest checkout that has not ended is on the metrics page, and how many were taken over."""
    await left_behind("parked", due=-HOUR)
    await left_behind("k")
    await worker.run_once()
    assert metrics.registry.get_sample_value("cartwright_sagas_taken_over_total") == 1
    assert metrics.registry.get_sample_value("cartwright_saga_oldest_seconds") > 0
