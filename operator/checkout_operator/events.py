"""What `kubectl describe` tells of a checkout: which events a resource has, and their words. Pure.

A purchase that goes straight on has no event: events are writes to the API server. One that waits, or whose step is tried
again, has one when that lasts for `NOTABLE_SECONDS`. A compensation that is seen has one, and each failure has one. A
purchase that had such trouble ends with one too, so that its story has an end.

Times are those of the checkout service, so that events are in the order of what happened, whatever the operator's clock.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from checkout_operator.spec import Resource
from checkout_operator.status import MESSAGES, SagaView, StepView, time_text

NOTABLE_SECONDS = 5.0
"""How long a checkout waits, or is tried again, before an event says so."""
GROUP_VERSION = "cartwright.dev/v1alpha1"
COMPONENT = "cartwright-operator"
MAX_NAME_LENGTH = 253
ENDED, UNANSWERED = "9-ended", "0-unanswered"
"""The places of the event of an end, and of that of a request without an answer."""
_WAITS = re.compile(r"waits for checkout (\S+) of the cart")
"""The note of a checkout that waits for another one of the same cart."""
_PARTS = {
    "claim": "the cart or the catalogue",
    "reserve": "the inventory",
    "pay": "the payment provider",
    "confirm": "the inventory",
    "release": "the inventory",
}
"""What each step asks."""


class Type(StrEnum):
    """How Kubernetes classes an event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """An event about a resource. Each resource has at most one with the same `place`.

    `place` makes the event's name. kubectl shows events of the same second by their names, so places follow the story.
    """

    place: str
    type: Type
    reason: str
    message: str
    at: str
    """When it began, or ended, as the API server writes times."""
    notable_after: float = 0.0
    """How many seconds it must have lasted."""


def progress_events(view: SagaView) -> Iterator[Event]:
    """Yield what is to be told of a checkout that runs, or that has bought after trouble."""
    if view.saga_step == "COMPLETED":
        if any(_had_trouble(step) for step in view.steps):
            message = f"the order {view.order_id} is made"
            yield Event(ENDED, Type.NORMAL, "Completed", message, time_text(view.finished_ms))
        return
    if view.ended:
        return
    if view.saga_step in {"CANCELLING", "RELEASING"}:
        yield _compensating(view)
    running = next((step for step in view.steps if step.state == "running"), None)
    if running is not None and running.attempts > 1 and view.note:
        yield _again(view, running)


def unanswered_event(since_ms: int, error: str) -> Event:
    """Return the event of a resource whose start or cancellation has no answer. `error` names who does not answer."""
    since = time_text(since_ms)
    message = f"the request to the checkout service has been repeated since {since}: {error}"
    return Event(UNANSWERED, Type.WARNING, "Retrying", message, since, NOTABLE_SECONDS)


def failure_event(status: Mapping[str, Any]) -> Event:
    """Return the event of a checkout that has failed, by the status that shows it."""
    conditions = {one["type"]: one for one in status["conditions"]}
    failed = conditions["Succeeded"]
    message = failed["message"]
    if "Compensated" in conditions:
        message = f"{message}; {conditions['Compensated']['message']}"
    return Event(ENDED, Type.WARNING, failed["reason"], message, failed["lastTransitionTime"])


def body(resource: Resource, event: Event) -> Mapping[str, Any]:
    """Return an event as the API server takes it. Its name is the same in each process, so that it is created once."""
    ending = f".{resource.uid[:13]}.{event.place}"
    name = resource.name[: MAX_NAME_LENGTH - len(ending)].rstrip("-.")
    return {
        "metadata": {"name": f"{name}{ending}", "namespace": resource.namespace},
        "involvedObject": {
            "apiVersion": GROUP_VERSION,
            "kind": "Checkout",
            "name": resource.name,
            "namespace": resource.namespace,
            "uid": resource.uid,
        },
        "type": event.type.value,
        "reason": event.reason,
        "message": event.message,
        "source": {"component": COMPONENT},
        "firstTimestamp": event.at,
        "lastTimestamp": event.at,
        "count": 1,
    }


def _again(view: SagaView, step: StepView) -> Event:
    """Return the event of a step that is tried again: it waits for another checkout, or something does not answer."""
    since = time_text(step.started_ms)
    if other := _WAITS.match(view.note):
        message = f"user {view.user_id} has another running checkout: waiting for checkout {other[1]} since {since}"
        return Event("1-waiting", Type.NORMAL, "Waiting", message, since, NOTABLE_SECONDS)
    place = {"claim": "2-claim", "reserve": "3-reserve", "pay": "4-pay", "confirm": "5-confirm", "release": "7-release"}
    asked = _PARTS.get(step.name, "another part")
    message = f"{step.name.capitalize()}, which asks {asked}, has been tried again since {since}: {view.note}"
    return Event(place.get(step.name, f"8-{step.name}"), Type.WARNING, "Retrying", message, since, NOTABLE_SECONDS)


def _compensating(view: SagaView) -> Event:
    began = view.step("release") or view.step("pay")
    why = MESSAGES.get(view.reason, "it is to be cancelled")
    what = "the payment is being cancelled" if view.saga_step == "CANCELLING" else "what is held is being given back"
    at = time_text(began.started_ms if began else view.created_ms)
    return Event("6-compensating", Type.NORMAL, "Compensating", f"{why}: {what}", at)


def _had_trouble(step: StepView) -> bool:
    return step.attempts > 1 and step.finished_ms - step.started_ms >= NOTABLE_SECONDS * 1000
