"""Whole statuses, member by member: what users, kubectl and other controllers read."""

from dataclasses import replace

import pytest

from checkout_operator.status import MAX_NOTE_LENGTH, SagaView, StepView, digest, project, refused, seconds, time_text

AT = 1_790_000_000_000
GENERATION = 7
SAGA = SagaView(
    id="c1",
    user_id=1,
    key="k",
    from_resource=True,
    resource_name="first",
    saga_step="COMPLETED",
    reason="",
    note="",
    total_minor=259_998,
    currency="USD",
    order_id="6d99ee86-d583-4930-981d-d122408e51c6",
    version=3,
    created_ms=AT,
    finished_ms=AT + 9000,
    steps=(),
)
PRICED = {"total": {"amountMinor": 259_998, "currency": "USD"}, "totalDisplay": "2599.98"}


def second(number):
    """Give the time so many seconds after AT."""
    return f"2026-09-21T14:13:{20 + number}Z"


def step(name, state, began, ended=None, attempts=1):
    """Give a step, and what a status shows of it."""
    view = StepView(name, state, attempts, AT + began * 1000, AT + ended * 1000 if ended else 0)
    shown = {"name": name.capitalize(), "state": state.capitalize(), "attempts": attempts, "startedAt": second(began)}
    return view, shown | ({"finishedAt": second(ended)} if ended else {})


def condition(kind, status, reason, message, since):
    """Give a condition."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": second(since),
        "observedGeneration": GENERATION,
    }


CLAIM, RESERVE, PAY = (
    step(name, "done", began, began + 1) for began, name in enumerate(("claim", "reserve", "pay"), 1)
)
HELD = condition("InventoryReserved", "True", "Done", "the stock is held", 3)
DECLINED = ("PaymentDeclined", "the bank declined the payment")
TIMED_OUT = ("TimedOut", "it was not finished in time; last: bank is away")
WHOLE = {
    "completed": (
        SAGA,
        (CLAIM, RESERVE, PAY, step("confirm", "done", 4, 5)),
        {
            "phase": "Completed",
            "step": "Confirm",
            "progress": "4/4",
            "orderId": SAGA.order_id,
            "orderShort": "6d99…",
            "finishedAt": second(9),
            **PRICED,
        },
        [
            condition("Succeeded", "True", "Completed", "the order is made", 9),
            condition("Finished", "True", "Completed", "the order is made", 9),
            HELD,
            condition("PaymentCaptured", "True", "Done", "the payment is captured", 4),
        ],
    ),
    "failed": (
        replace(SAGA, saga_step="FAILED", reason="PaymentDeclined"),
        (CLAIM, RESERVE, step("pay", "failed", 3, 4), step("release", "done", 5, 6)),
        {"phase": "Failed", "step": "Pay", "progress": "2/4", "finishedAt": second(9), **PRICED},
        [
            condition("Succeeded", "False", *DECLINED, 9),
            condition("Finished", "True", *DECLINED, 9),
            HELD,
            condition("PaymentCaptured", "False", *DECLINED, 0),
            condition("Compensated", "True", "PaymentDeclined", "the stock that was held is back", 6),
            condition("Stalled", "True", *DECLINED, 9),
        ],
    ),
    "out of time": (
        replace(SAGA, saga_step="FAILED", reason="TimedOut", note="bank is away"),
        (CLAIM, step("reserve", "failed", 2, 3), step("release", "done", 5, 6)),
        {"phase": "Failed", "step": "Reserve", "progress": "1/4", "finishedAt": second(9), **PRICED},
        [
            condition("Succeeded", "False", *TIMED_OUT, 9),
            condition("Finished", "True", *TIMED_OUT, 9),
            condition("InventoryReserved", "False", *TIMED_OUT, 0),
            condition("PaymentCaptured", "False", *TIMED_OUT, 0),
            condition("Stalled", "True", *TIMED_OUT, 9),
        ],
    ),
    "paying": (
        replace(SAGA, saga_step="PAYING", note="bank is away", finished_ms=0),
        (CLAIM, RESERVE, step("pay", "running", 3, attempts=2)),
        {"phase": "Paying", "step": "Pay", "progress": "2/4", **PRICED},
        [
            condition("Succeeded", "Unknown", "Paying", "bank is away", 0),
            condition("Finished", "False", "Paying", "bank is away", 0),
            HELD,
            condition("PaymentCaptured", "False", "Paying", "not yet", 0),
            condition("Reconciling", "True", "Paying", "bank is away", 0),
        ],
    ),
    "accepted": (
        replace(SAGA, saga_step="ACCEPTED", finished_ms=0),
        (step("claim", "running", 0),),
        {"phase": "Pending", "step": "Claim", "progress": "0/4"},
        [
            condition("Succeeded", "Unknown", "Pending", "it is pending", 0),
            condition("Finished", "False", "Pending", "it is pending", 0),
            condition("InventoryReserved", "False", "Pending", "not yet", 0),
            condition("PaymentCaptured", "False", "Pending", "not yet", 0),
            condition("Reconciling", "True", "Pending", "it is pending", 0),
        ],
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_status(name):
    """Each member is there under its name, with the saga's own times, and no other is."""
    saga, steps, shown, conditions = WHOLE[name]
    assert project(replace(saga, steps=tuple(view for view, _ in steps)), GENERATION) == {
        "observedGeneration": GENERATION,
        "checkoutId": "c1",
        "sagaVersion": 3,
        "startedAt": second(0),
        "steps": [said for _, said in steps],
        "conditions": conditions,
        **shown,
    }


def test_a_whole_refusal():
    """What cannot become a checkout has failed at its claim, since it was created, and says why in each condition."""
    why = ("InvalidSpec", "items are too many", 2)
    assert refused("InvalidSpec", GENERATION, second(2), "items are too many") == {
        "observedGeneration": GENERATION,
        "phase": "Failed",
        "step": "Claim",
        "progress": "0/4",
        "startedAt": second(2),
        "finishedAt": second(2),
        "conditions": [
            condition("Succeeded", "False", *why),
            condition("Finished", "True", *why),
            condition("InventoryReserved", "False", *why),
            condition("PaymentCaptured", "False", *why),
            condition("Stalled", "True", *why),
        ],
    }


def test_a_step_of_a_later_service():
    """A step that this operator does not know is shown by its own name, as one of paying, with words that say nothing wrong."""
    status = project(replace(SAGA, saga_step="VERIFYING", finished_ms=0), GENERATION)
    assert (status["phase"], status["step"]) == ("Verifying", "Pay")
    assert (status["conditions"][0]["reason"], status["conditions"][0]["message"]) == ("Unknown", "it is unknown")


def test_a_reason_of_a_later_service():
    """A reason that this operator does not know is its own message; a failure without one is called that."""
    for reason, told in (("FraudSuspected", ("FraudSuspected", "FraudSuspected")), ("", ("Failed", ""))):
        first = project(replace(SAGA, saga_step="FAILED", reason=reason), GENERATION)["conditions"][0]
        assert (first["reason"], first["message"]) == told


def test_a_failure_without_a_failed_step():
    """Where no step says that it failed, it was the claim."""
    assert project(replace(SAGA, saga_step="FAILED"), GENERATION)["step"] == "Claim"


def test_a_note_is_cut_where_a_condition_ends():
    """A note as long as there is room for is whole, and a longer one is cut there."""
    for length in (MAX_NOTE_LENGTH, MAX_NOTE_LENGTH + 1):
        shown = project(replace(SAGA, saga_step="PAYING", finished_ms=0, note="n" * length), GENERATION)
        assert shown["conditions"][0]["message"] == "n" * MAX_NOTE_LENGTH


def test_cents_have_two_digits():
    """A total with few cents, or none, has both digits."""
    claimed = replace(SAGA, steps=(CLAIM[0],))
    shown = [project(replace(claimed, total_minor=minor), 1)["totalDisplay"] for minor in (5, 100, 99, 101)]
    assert shown == ["0.05", "1.00", "0.99", "1.01"]


def test_the_digest_knows_the_version():
    """The version of the checkout that a status shows is kept with its digest; 0 where it shows none."""
    assert [digest(status).saga_version for status in ({"sagaVersion": 3}, {"sagaVersion": None}, {})] == [3, 0, 0]


def test_a_time_that_has_not_come():
    """0 is no time, and a part of a second is none either."""
    assert [time_text(ms) for ms in (0, AT, AT + 999, AT + 1000)] == ["", second(0), second(0), second(1)]


def test_a_time_of_the_api_server():
    """What the API server writes is read back as the same second."""
    assert seconds(second(1)) == AT / 1000 + 1


def test_steps_are_found_by_name():
    """A step that has not begun is None, and is not done; one that runs is not done either."""
    saga = replace(SAGA, steps=(CLAIM[0], step("pay", "running", 3)[0]))
    assert (saga.step("claim"), saga.step("confirm")) == (CLAIM[0], None)
    assert [saga.done(name) for name in ("claim", "pay", "confirm")] == [True, False, False]


@pytest.mark.parametrize(
    ("saga_step", "ended", "failed"), [("COMPLETED", True, False), ("FAILED", True, True), ("PAID", False, False)]
)
def test_what_has_ended(saga_step, ended, failed):
    """Completed and failed are the two ends."""
    saga = replace(SAGA, saga_step=saga_step)
    assert (saga.ended, saga.failed) == (ended, failed)
