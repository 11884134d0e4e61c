"""The projection of every state that a saga can reach: what the operator shows agrees with what the saga says."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout_operator.status import FIELDS, SagaView, StepView, digest, project
from services.checkout.domain import Origin, Reason, Session, Status, Step
from services.checkout.saga import TRANSITIONS, Move, accepted_records, apply, first_records, shown_step

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = {  # the phase, and the steps done at least
    Step.ACCEPTED: ("Pending", 0),
    Step.CLAIMED: ("Reserving", 1),
    Step.RESERVED: ("Paying", 2),
    Step.PAYING: ("Paying", 2),
    Step.PAID: ("Confirming", 3),
    Step.COMPLETED: ("Completed", 4),
    Step.CANCELLING: ("Compensating", 2),
    Step.RELEASING: ("Compensating", 1),
    Step.FAILED: ("Failed", 0),
}


def session(origin):
    """A checkout that has just begun: a resource's is accepted, one of REST is claimed."""
    accepted = origin is Origin.RESOURCE
    return Session(
        id=str(uuid.UUID(int=1)),
        user_id=2**63 - 1,
        origin=origin,
        key="k" * 255,
        status=Status.PROCESSING,
        step=Step.ACCEPTED if accepted else Step.CLAIMED,
        lines=(),
        total_minor=0 if accepted else 1,
        currency="USD",
        order_id=str(uuid.UUID(int=2)),
        lease_epoch=1,
        version=1,
        created_at=AT,
        steps=accepted_records(AT) if accepted else first_records(AT),
    )


def ways(here):
    """Give every way on from here, each as the sessions along it."""
    yield (here,)
    for to in sorted(TRANSITIONS[here.step]):
        leaves = to in {Step.RELEASING, Step.CANCELLING} or (here.step, to) == (Step.ACCEPTED, Step.FAILED)
        for reason in (Reason.CANCELLED, Reason.PAYMENT_DECLINED) if leaves else (None,):
            there = replace(apply(here, Move(to, reason), AT), version=here.version + 1)
            if there.status is not Status.PROCESSING:
                there = replace(there, finished_at=AT)
            for way in ways(there):
                yield (here, *way)


WAYS = [way for origin in Origin for way in ways(session(origin))]


def seen(one):
    """The checkout as the operator receives it."""

    def ms(when):
        return int(when.timestamp() * 1000) if when else 0

    return SagaView(
        id=one.id,
        user_id=one.user_id,
        key=one.key,
        from_resource=one.origin is Origin.RESOURCE,
        resource_name="",
        saga_step=one.step,
        reason=one.reason or "",
        note=one.last_error or "",
        total_minor=one.total_minor,
        currency=one.currency,
        order_id=one.order_id,
        version=one.version,
        created_ms=ms(one.created_at),
        finished_ms=ms(one.finished_at),
        steps=tuple(
            StepView(step.name, step.state, step.attempts, ms(step.started_at), ms(step.finished_at))
            for step in one.steps
        ),
    )


KSTATUS = {"Reconciling", "Stalled"}


def true(status):
    """The conditions that are true and stay so; those of kstatus come and go."""
    return {one["type"] for one in status["conditions"] if one["status"] == "True"} - KSTATUS


def kstatus(resource):
    """What kstatus reads: its rules for a resource of a kind that it does not know.

    https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/status/generic.go
    """
    status = resource["status"]
    if status.get("observedGeneration", resource["generation"]) != resource["generation"]:
        return "InProgress"
    for one in status["conditions"]:
        if one["type"] in KSTATUS and one["status"] == "True":
            return {"Reconciling": "InProgress", "Stalled": "Failed"}[one["type"]]
        assert one["type"] != "Ready"
    return "Current"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(one.step for one in way))
def test_kstatus_reads_it(way):
    """What waits by kstatus, as Flux does, waits until the end, and sees whether it bought."""
    status = project(seen(way[-1]), 2)
    expected = {Step.COMPLETED: "Current", Step.FAILED: "Failed"}.get(way[-1].step, "InProgress")
    assert kstatus({"generation": 2, "status": status}) == expected
    assert kstatus({"generation": 3, "status": status}) == "InProgress"
    assert len(KSTATUS & {one["type"] for one in status["conditions"]}) == (expected != "Current")


def test_every_step_is_reached():
    """The walk goes everywhere."""
    assert {one.step for way in WAYS for one in way} == set(Step)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(one.step for one in way))
def test_the_end_of_a_way(way):
    """Phase, step, progress and conditions are those of the vocabulary, and the step is the one that REST shows."""
    here, been = way[-1], {one.step for one in way}
    status = project(seen(here), 1)
    phase, least = ROWS[here.step]
    reserved, paid = bool({Step.RESERVED, Step.PAYING} & been), Step.PAID in been
    claimed = here.origin is Origin.REST or Step.CLAIMED in been
    done = claimed + reserved + paid + (here.step is Step.COMPLETED)
    assert done >= least
    assert (status["phase"], status["progress"]) == (phase, f"{done}/4")
    assert status["step"] == shown_step(here).capitalize()
    wanted = {kind for kind, holds in (("InventoryReserved", reserved), ("PaymentCaptured", paid)) if holds}
    wanted |= {Step.COMPLETED: {"Succeeded", "Finished"}, Step.FAILED: {"Finished"}}.get(here.step, set())
    if here.step is Step.FAILED and reserved:
        wanted |= {"Compensated"}
    assert true(status) == wanted
    assert ("orderShort" in status, "totalDisplay" in status) == (here.step is Step.COMPLETED, claimed)
    assert ("finishedAt" in status) is (here.status is not Status.PROCESSING)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(one.step for one in way))
def test_along_a_way(way):
    """Along every way the version grows, what is reached stays reached, and each state differs from the one before."""
    shown = [project(seen(one), 1) for one in way]
    for before, after in pairwise(shown):
        assert after["sagaVersion"] > before["sagaVersion"]
        assert int(after["progress"][0]) >= int(before["progress"][0])
        assert true(before) <= true(after)
        assert digest(before) != digest(after)


@given(
    way=st.sampled_from(WAYS),
    note=st.text(max_size=5000),
    total=st.integers(0, 2**53),
    generation=st.integers(1, 2**31),
)
def test_within_the_schema(way, note, total, generation):
    """Whatever was met on the way, a status is within the schema's bounds, and another one is seen to differ."""
    status = project(seen(replace(way[-1], last_error=note, total_minor=total)), generation)
    assert all(1 <= len(one["message"]) <= 1024 and one["reason"].isalpha() for one in status["conditions"])
    assert max(len(status["steps"]), len(status["conditions"])) <= 8
    assert len({one["name"] for one in status["steps"]}) == len(status["steps"])
    assert set(status) <= set(FIELDS)
    assert digest(dict(status)) == digest(status)
    assert digest(status | {"orderId": "stolen"}) != digest(status)
