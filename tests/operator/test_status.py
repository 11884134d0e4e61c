"""The projection of a saga, row by row of its vocabulary."""

from dataclasses import replace

import pytest

from checkout_operator.status import FIELDS, MESSAGES, SagaView, StepView, digest, project, refused

AT = 1_790_000_000_000
CLAIM, RESERVE, PAY = (StepView(name, "done", 1, AT, AT + 1000) for name in ("claim", "reserve", "pay"))


def running(name):
    """Give a step that is under way."""
    return StepView(name, "running", 2, AT, 0)


def ended(name, state):
    """Give a step that has ended."""
    return StepView(name, state, 1, AT, AT + 2000)


def view(saga_step, *steps, reason="", note=""):
    """Give a saga."""
    over = saga_step in {"COMPLETED", "FAILED"}
    return SagaView(
        id="c1",
        user_id=1,
        key="k",
        from_resource=True,
        resource_name="first",
        saga_step=saga_step,
        reason=reason,
        note=note,
        total_minor=259_998,
        currency="USD",
        order_id="o1",
        version=3,
        created_ms=AT,
        finished_ms=AT + 3000 if over else 0,
        steps=steps,
    )


TABLE = [
    (view("ACCEPTED", running("claim")), "Pending", "Claim", "0/4", set()),
    (view("CLAIMED", CLAIM, running("reserve")), "Reserving", "Reserve", "1/4", set()),
    (view("RESERVED", CLAIM, RESERVE, running("pay")), "Paying", "Pay", "2/4", {"InventoryReserved"}),
    (view("PAYING", CLAIM, RESERVE, running("pay")), "Paying", "Pay", "2/4", {"InventoryReserved"}),
    (
        view("PAID", CLAIM, RESERVE, PAY, running("confirm")),
        "Confirming",
        "Confirm",
        "3/4",
        {"InventoryReserved", "PaymentCaptured"},
    ),
    (
        view("COMPLETED", CLAIM, RESERVE, PAY, ended("confirm", "done")),
        "Completed",
        "Confirm",
        "4/4",
        {"InventoryReserved", "PaymentCaptured", "Succeeded", "Finished"},
    ),
    (view("CANCELLING", CLAIM, RESERVE, running("pay")), "Compensating", "Pay", "2/4", {"InventoryReserved"}),
    (
        view("RELEASING", CLAIM, RESERVE, ended("pay", "failed"), running("release"), reason="PaymentDeclined"),
        "Compensating",
        "Release",
        "2/4",
        {"InventoryReserved"},
    ),
    (
        view("FAILED", CLAIM, RESERVE, ended("pay", "failed"), ended("release", "done"), reason="PaymentDeclined"),
        "Failed",
        "Pay",
        "2/4",
        {"InventoryReserved", "Finished", "Compensated"},
    ),
    (
        view("FAILED", CLAIM, ended("reserve", "failed"), ended("release", "done"), reason="OutOfStock"),
        "Failed",
        "Reserve",
        "1/4",
        {"Finished"},
    ),
    (view("FAILED", ended("claim", "failed"), reason="EmptyCart"), "Failed", "Claim", "0/4", {"Finished"}),
]


@pytest.mark.parametrize(("saga", "phase", "step", "progress", "true"), TABLE)
def test_the_vocabulary(saga, phase, step, progress, true):
    """Each stored step has one phase, one step to show, its progress, and the conditions that are true."""
    status = project(saga, 1)
    assert (status["phase"], status["step"], status["progress"]) == (phase, step, progress)
    kstatus = {"COMPLETED": set(), "FAILED": {"Stalled"}}.get(saga.saga_step, {"Reconciling"})
    assert {one["type"] for one in status["conditions"] if one["status"] == "True"} == true | kstatus
    assert all(one["reason"] and one["message"] and one["lastTransitionTime"] for one in status["conditions"])
    succeeded = next(one for one in status["conditions"] if one["type"] == "Succeeded")
    assert succeeded["status"] == {"COMPLETED": "True", "FAILED": "False"}.get(saga.saga_step, "Unknown")
    assert set(status) <= set(FIELDS)


def test_the_order_and_the_total():
    """The order's id is shown once there is one, the total once there are prices."""
    first, last = project(TABLE[0][0], 1), project(TABLE[5][0], 1)
    assert not {"orderId", "orderShort"} & set(first)
    assert "totalDisplay" not in first
    assert (last["orderId"], last["totalDisplay"]) == ("o1", "2599.98")
    assert last["total"] == {"amountMinor": 259_998, "currency": "USD"}


@pytest.mark.parametrize(
    ("order", "short"),
    [
        ("6d99ee86-d583-4930-981d-d122408e51c6", "6d99…"),
        ("6d99ee", "6d99…"),
        ("6d99e", "6d99e"),  # it is no wider than what would be left of it
        ("o1", "o1"),
    ],
)
def test_the_short_order_id(order, short):
    """The printed column shows the beginning of an order's id, and the status has the whole one as well."""
    status = project(replace(TABLE[5][0], order_id=order), 1)
    assert (status["orderId"], status["orderShort"]) == (order, short)


def test_a_note_says_what_it_waits_for():
    """What the last attempt met stands in the message, also where time was up; a long one is cut."""
    waiting = project(view("ACCEPTED", running("claim"), note="waits for checkout c0"), 1)
    assert waiting["conditions"][0]["message"] == "waits for checkout c0"
    late = project(view("FAILED", ended("claim", "failed"), reason="TimedOut", note="n" * 5000), 1)
    assert late["conditions"][0]["message"].startswith(MESSAGES["TimedOut"])
    assert len(late["conditions"][0]["message"]) <= 1024


@pytest.mark.parametrize("reason", ["TimedOut", "Cancelled"])
def test_what_was_given_up_says_what_it_met_last(reason):
    """A checkout that was out of time or cancelled says what its last attempt met; another failure says its reason alone."""
    given_up = project(view("FAILED", ended("claim", "failed"), reason=reason, note="bank is away"), 1)
    assert given_up["conditions"][0]["message"] == f"{MESSAGES[reason]}; last: bank is away"
    refused = project(view("FAILED", ended("claim", "failed"), reason="OutOfStock", note="bank is away"), 1)
    assert refused["conditions"][0]["message"] == MESSAGES["OutOfStock"]


def test_unknown_products_are_named():
    """A checkout that failed for products that are not in the catalogue says which; an older one says so in general."""
    named = project(view("FAILED", ended("claim", "failed"), reason="UnknownProduct", note="product 404, product 7"), 1)
    messages = {one["type"]: one["message"] for one in named["conditions"]}
    assert messages["Succeeded"] == "a product is not in the catalogue: product 404, product 7"
    unnamed = project(view("FAILED", ended("claim", "failed"), reason="UnknownProduct"), 1)
    assert unnamed["conditions"][0]["message"] == MESSAGES["UnknownProduct"]


def test_a_write_is_needed_where_something_differs():
    """A status that has a field too many, or another value, is to be replaced; an equal one is not."""
    wanted = project(TABLE[8][0], 1)
    backwards = dict(reversed(wanted.items())) | {"total": dict(reversed(wanted["total"].items()))}
    assert digest(backwards) == digest(wanted)
    assert digest(wanted | {"orderId": "stolen"}) != digest(wanted)
    assert digest(wanted | {"phase": "Completed"}) != digest(wanted)
    assert digest(wanted | {"steps": wanted["steps"][:-1]}) != digest(wanted)


def test_a_key_of_other_items():
    """What never became a saga has failed at its claim, and has ended."""
    status = refused("IdempotencyKeyReused", 1, "2026-01-01T00:00:00Z", MESSAGES["IdempotencyKeyReused"])
    assert (status["phase"], status["progress"], status["step"]) == ("Failed", "0/4", "Claim")
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert (conditions["Finished"], conditions["Stalled"]) == ("True", "True")
