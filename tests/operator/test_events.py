"""Which events a resource gets, and what they say: the story that `kubectl describe` tells."""

import time
from dataclasses import replace

import pytest

from checkout_operator import event_recorder as module
from checkout_operator.event_recorder import EventRecorder
from checkout_operator.events import NOTABLE_SECONDS, body, failure_event, progress_events, unanswered_event
from checkout_operator.mirrors import WriteBudget
from checkout_operator.status import StepView, project, refused
from services.checkout.claims import Claimer
from services.checkout.domain import AnotherRunning, CartBusy, Source
from tests.operator.conftest import AT
from tests.operator.test_status_reachable import WAYS, seen
from tests.operator.views import at, over

NOW = AT / 1000 + 60
SINCE = "2026-09-21T14:13:20Z"


def again(view, step, note, attempts=2):
    """The checkout while a step of it is tried again."""
    steps = ("claim", "reserve", "pay", "confirm", "release")
    done = tuple(StepView(name, "done", 1, AT, AT) for name in steps[: steps.index(step)])
    saga = {"claim": "ACCEPTED", "reserve": "CLAIMED", "pay": "PAYING", "confirm": "PAID", "release": "RELEASING"}[step]
    return replace(view, saga_step=saga, note=note, steps=(*done, StepView(step, "running", attempts, AT, 0)))


@pytest.fixture
def recorder(cluster):
    """A recorder of events whose clock stands a minute after the checkout began."""

    async def write(_, call):
        return await call

    return EventRecorder(cluster, write, clock=lambda: NOW)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(one.step for one in way))
def test_a_purchase_that_goes_straight_on_has_none(way):
    """An event is a write to the API server: a checkout that neither waits nor is compensated nor fails has none."""
    for one in way:
        told = [event.reason for event in progress_events(seen(one))]
        assert told == (["Compensating"] if one.step in {"CANCELLING", "RELEASING"} else [])


async def test_waiting_names_the_other_checkout(view):
    """The note of a checkout that waits, in the checkout service's own words, becomes the id of the other one."""

    class Busy(Claimer):
        async def claim_cart(self, *_):
            raise AnotherRunning("c0")

    class Purchases:
        async def uncleared_purchases(self, _):
            return []

    with pytest.raises(CartBusy) as busy:
        await Busy(Purchases(), None, None).claim(replace(WAYS[0][0], source=Source.CART))
    (event,) = progress_events(again(view, "claim", str(busy.value)))
    assert (event.type, event.reason) == ("Normal", "Waiting")
    assert event.message == f"user 7 has another running checkout: waiting for checkout c0 since {SINCE}"


def test_a_failure_without_a_time_of_its_end(view, make):
    """A failed checkout that has no end time still has times that the API server takes, in its event and in its conditions."""
    status = project(replace(over(view), finished_ms=0), 1)
    assert {one["lastTransitionTime"] for one in status["conditions"]} == {SINCE}
    assert body(make("first"), failure_event(status))["firstTimestamp"] == SINCE
    assert failure_event(project(over(view), 1)).at == project(over(view), 1)["finishedAt"]


@pytest.mark.parametrize("step", ["claim", "reserve", "pay", "confirm", "release"])
def test_retrying_names_what_does_not_answer(view, step):
    """A step that is tried again says so with what its last attempt met, and since when; each step has its own event."""
    *before, event = progress_events(again(view, step, "inventory is unavailable"))
    assert [one.reason for one in before] == (["Compensating"] if step == "release" else [])
    assert (event.type, event.reason) == ("Warning", "Retrying")
    assert event.message.startswith(f"{step.capitalize()}, which asks the ")
    assert event.message.endswith(f"has been tried again since {SINCE}: inventory is unavailable")


def test_the_story_is_in_order(view, make):
    """Kubectl sorts events by their second, then by their names, so names follow the story too."""
    story = [unanswered_event(AT, "the checkout service: UNAVAILABLE")]
    story += progress_events(again(view, "claim", "waits for checkout c0 of the cart"))
    for step in ("claim", "reserve", "pay", "confirm", "release"):
        story += progress_events(again(view, step, "inventory is unavailable"))
    story.append(failure_event(project(over(view), 1)))
    names = [body(make("first"), event)["metadata"]["name"] for event in story]
    assert names == sorted(set(names))


def test_a_failure_says_what_was_given_back(view):
    """The event of a failure has the words of the status, and says that the held stock is back where it was held."""
    steps = (*view.steps[:2], StepView("pay", "failed", 1, AT, AT), StepView("release", "done", 1, AT, AT))
    event = failure_event(project(over(view, steps=steps), 1))
    assert event.message == "the bank declined the payment; the stock that was held is back"
    assert failure_event(project(over(view), 1)).message == "the bank declined the payment"
    never = failure_event(refused("InvalidSpec", 1, SINCE, "the checkout service refuses this spec: odd"))
    assert (never.reason, never.message) == ("InvalidSpec", "the checkout service refuses this spec: odd")


async def test_each_once(recorder, cluster, make, view):
    """What lasts is told once, however often it is seen; the next step that does not answer is another event."""
    for attempts in (2, 3, 4):
        await recorder.record_progress(make("first"), again(view, "reserve", "inventory is unavailable", attempts))
    await recorder.record_progress(make("first"), again(view, "pay", "the payment provider did not answer"))
    assert cluster.events == [("first", "Retrying")] * 2


async def test_not_before_it_lasts(cluster, make, view, monkeypatch):
    """What is over within seconds is not told; an operator whose clock is an hour behind tells what it has seen lasting."""
    monkeypatch.setattr(module.time, "monotonic", lambda: 100.0)
    recorder = EventRecorder(cluster, lambda _, call: call, clock=lambda: AT / 1000 - 3600)
    for now, told in ((100.0, 0), (99.0 + NOTABLE_SECONDS, 0), (100.0 + NOTABLE_SECONDS, 1)):
        monkeypatch.setattr(module.time, "monotonic", lambda now=now: now)
        await recorder.record_progress(make("first"), again(view, "pay", "the payment provider did not answer"))
        assert len(cluster.events) == told


async def test_an_outage_is_told_at_a_bounded_rate(recorder, cluster, make, view, monkeypatch):
    """A thousand checkouts that one outage meets make no thousand events at once; the others follow as time goes on."""
    monkeypatch.setattr(module.time, "monotonic", lambda: 100.0)
    recorder = EventRecorder(cluster, recorder._write, clock=lambda: NOW)
    many = [make(f"co{number}") for number in range(1000)]
    for told in (1, 2, 3):
        monkeypatch.setattr(module.time, "monotonic", lambda now=99.0 + told: now)
        for one in many:
            await recorder.record_progress(one, again(view, "reserve", "inventory is unavailable"))
        assert len(cluster.events) == len(set(cluster.events)) == told * module.EVENTS_PER_SECOND
    await recorder.record_failure(many[-1], project(over(view), 1))
    assert cluster.events[-1] == ("co999", "PaymentDeclined")  # a failure is reported whatever else is


async def test_a_purchase_after_trouble_ends_its_story(recorder, cluster, make, view):
    """A purchase whose step was tried again for long has an event of its end, and one that was quick has none."""
    for seconds, told in ((NOTABLE_SECONDS - 1, 0), (NOTABLE_SECONDS, 1)):
        steps = (StepView("pay", "done", 2, AT, AT + int(seconds * 1000)),)
        bought = replace(view, saga_step="COMPLETED", steps=steps, finished_ms=AT + 60_000)
        await recorder.record_progress(make("first"), bought)
        assert cluster.events == [("first", "Completed")] * told


async def test_a_checkout_service_that_does_not_answer(new, cluster, make, monkeypatch):
    """A resource that cannot be started has an event that says so, once that lasts."""
    projector, error, began = new(), "the checkout service: UNAVAILABLE: no connection", time.monotonic()
    for now, told in ((began, 0), (began + NOTABLE_SECONDS, 1), (began + 60, 1)):
        monkeypatch.setattr(module.time, "monotonic", lambda now=now: now)
        await projector.report_unanswered(make("first"), error)
        assert cluster.events == [("first", "Retrying")] * told


async def test_mirrors_have_none(new, cluster, view):
    """A checkout of REST has its mirror, and no events."""
    projector = new()
    projector.enqueue(replace(again(view, "pay", "the payment provider did not answer"), from_resource=False))
    await projector.flush()
    assert list(cluster.statuses) == ["co-c1"]
    assert cluster.events == []


def bought(view):
    """A purchase whose payment was tried again for long."""
    steps = (StepView("pay", "done", 2, AT, AT + 10_000),)
    return replace(view, saga_step="COMPLETED", steps=steps, finished_ms=AT + 60_000)


@pytest.mark.parametrize("lost_by", ["the rate", "a failed write"])
async def test_an_end_that_could_not_be_told_is_told_later(new, cluster, cache, view, away, monkeypatch, lost_by):
    """A purchase after trouble is compared until its end is told, and then no more."""
    projector, budget = new(), []
    if lost_by == "the rate":
        monkeypatch.setattr(WriteBudget, "spend", lambda _: len(budget) > 1 or budget.append(1))
    else:
        cluster.faults["event"] = [away(), away()]
    projector.enqueue(bought(view))
    await projector.flush()
    assert cluster.events == []
    for _ in range(5):
        await projector.repair(cache.get(at("first")), bought(view))
        await projector.flush()
    assert cluster.events == [("first", "Completed")]
    assert cluster.calls.count(("status", "first")) == 1


async def test_an_event_that_is_refused_for_ever_is_given_up(new, cluster, cache, view, away):
    """One that tells of no failure is tried a few times, and not once more at each comparison for as long as the resource stays."""
    projector = new()
    cluster.faults["event"] = [away() for _ in range(100)]
    projector.enqueue(bought(view))
    for _ in range(20):
        await projector.flush()
        await projector.repair(cache.get(at("first")), bought(view))
    assert cluster.calls.count(("event", "first")) == module.MOST_TRIES


async def test_two_blips_are_no_outage(cluster, recorder, make, monkeypatch):
    """A call without an answer counts from the last answer: two moments minutes apart tell of no trouble that lasted."""
    began = time.monotonic()
    for now, told in ((began, 0), (began + 300, 0), (began + 301 + NOTABLE_SECONDS, 1)):
        monkeypatch.setattr(module.time, "monotonic", lambda now=now: now)
        await recorder.record_unanswered(make("first"), "the checkout service: UNAVAILABLE")
        assert len(cluster.events) == told
        if now == began:
            recorder.answered(make("first"))
