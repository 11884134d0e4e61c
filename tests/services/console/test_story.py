"""One checkout as a story: what is said, in which order, and what a person may do."""

import pytest

from services.console.answers import Answer, AnswerState
from services.console.story import CANCELLABLE, tell
from services.console.words import PHASES
from services.pb import checkout_pb2, inventory_pb2, payment_pb2
from tests.services.console.made import (
    NONE,
    NOW,
    TRACE,
    checkout,
    event,
    found,
    inspected,
    order,
    parts,
    payment,
    reservation,
    step,
)

DONE = [step("claim", began=60_000, ended=60_000), step("reserve", began=60_000, ended=59_900)]


def titles(story):
    return [moment.title for moment in story.moments]


def test_a_purchase_is_told_from_the_request_to_the_event():
    """A completed checkout has its steps, its end and its event in the order of time, and nothing is left to come."""
    steps = [*DONE, step("pay", began=59_900, ended=59_300), step("confirm", began=59_300, ended=59_000)]
    of = inspected(of=checkout(steps=steps), event=event())
    story = tell(parts(of, payment(), reservation(), found(order())))
    assert titles(story) == ["Asked for", "Claim", "Reserve", "Pay", "Confirm", "Completed", "Published"]
    assert story.headline == "Bought: $2,599.98 was charged, and the order is there."
    assert (story.can_cancel, story.running, story.settled, story.away) == (False, False, True, ())
    assert story.moments[3].took == "600 ms"
    assert [(line.name, line.price, line.total) for line in story.lines] == [("Laptop", "$1,299.99", "$2,599.98")]
    assert story.trace_id == TRACE
    assert story.is_sampled
    assert story.resource == f"co-{of.checkout.id}"


def test_bars_stay_within_the_picture():
    """Bars begin and end within the whole story, whatever the clocks of the processes say."""
    steps = [step("claim", began=60_400, ended=60_400), step("reserve", began=60_400, ended=61_000)]
    story = tell(parts(inspected("CLAIMED", of=checkout("CLAIMED", steps=steps))))
    assert titles(story)[0] == "Asked for"
    for moment in story.moments:
        assert 0 <= moment.left <= 100
        assert 0 <= moment.left + moment.width <= 100.01


def test_a_pause_is_told():
    """Time in which nothing happened is named before what followed it."""
    steps = [step("claim", began=60_000, ended=60_000), step("reserve", began=30_000, ended=29_000)]
    story = tell(parts(inspected("RESERVED", of=checkout("RESERVED", steps=steps))))
    assert {moment.title: moment.gap for moment in story.moments}["Reserve"] == "30.0 s"


def test_a_bank_that_is_silent_is_told_as_such():
    """A payment without an outcome is neither a refusal nor a success: the story says so, who works on it, and until when."""
    steps = [*DONE, step("pay", "running", began=59_900, attempts=4)]
    of = inspected(
        of=checkout("PAYING", steps=steps, note="the payment provider did not answer"), next_attempt_at_ms=NOW + 7000
    )
    story = tell(parts(of, payment(payment_pb2.INTENT, decided_at_ms=0), reservation(inventory_pb2.PINNED)))
    said = " ".join(story.explanation)
    assert story.headline == "Waiting for the payment."
    assert "has not answered for 59.9 s. It may have charged, or not" in said
    assert "never charged twice" in said
    assert "What its last attempt met: the payment provider did not answer." in said
    assert "The next attempt is in 7.0 s." in said
    assert "cancelled by itself" in said
    assert "4 attempts" in next(moment.detail for moment in story.moments if moment.title == "Pay")
    assert story.can_cancel


@pytest.mark.parametrize("saga_step", PHASES)
def test_only_what_is_not_yet_paid_can_be_cancelled(saga_step):
    """The button is there exactly for running checkouts before the payment, and gone once somebody has asked."""
    of = inspected(of=checkout(saga_step))
    assert tell(parts(of)).can_cancel is (saga_step in CANCELLABLE)
    of.cancel_requested_at_ms = NOW - 500
    asked = tell(parts(of))
    assert not asked.can_cancel
    if saga_step in CANCELLABLE:
        assert asked.headline == "It is being cancelled."
        assert "Somebody has asked to cancel it" in " ".join(asked.explanation)
        assert "Cancellation asked for" in titles(asked)


def test_a_failure_says_why_in_words():
    """A failed checkout says why, that nothing was charged, and what made it fail."""
    of = inspected(of=checkout("FAILED", reason="OutOfStock", note="product 4 is short of 3"))
    story = tell(parts(of))
    assert story.headline == "Not bought: there was too little stock. Nothing was charged."
    assert story.explanation[0] == "What made it fail: product 4 is short of 3."
    assert titles(story)[-1] == "Failed"
    assert story.settled


def test_an_order_on_its_way_is_told():
    """Until the event is published and the order made the story goes on, and says what it waits for."""
    waiting = tell(parts(inspected(event=event(published_at_ms=0)), payment(), reservation()))
    assert waiting.headline.endswith("The order is on its way.")
    assert "has waited in the outbox for 59.0 s" in waiting.explanation[0]
    assert (waiting.settled, titles(waiting)[-1]) == (False, "Publishing")
    published = tell(parts(inspected(event=event())))
    assert "The orders service has not made the order yet." in published.explanation[0]
    assert not published.settled
    given_up = tell(parts(inspected(event=event(published_at_ms=0, given_up_at_ms=NOW, last_error="too large"))))
    assert "was given up: too large." in given_up.explanation[0]


def test_a_part_that_does_not_answer_is_named():
    """A story is told with what is there; it says which parts are away, and an unknown order is not taken for none."""
    away = Answer("orders", AnswerState.AWAY)
    story = tell(parts(inspected(event=event()), ordered=away))
    assert story.away == ("orders",)
    assert not any("has not made the order" in sentence for sentence in story.explanation)
    assert not story.settled


def test_a_resource_is_named_by_its_namespace():
    """A checkout of a resource names that resource, and not a mirror."""
    ref = checkout_pb2.ResourceRef(uid="u", namespace="shop", name="first")
    story = tell(parts(inspected(of=checkout(origin=checkout_pb2.RESOURCE, resource=ref)), ordered=NONE))
    assert story.resource == "shop/first"
    assert story.moments[0].detail == "by a Checkout resource"
