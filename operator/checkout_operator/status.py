"""Turns a saga into a resource's status. Pure, so that a status can be rebuilt from the saga at any time.

Times come from the saga too. The vocabulary is the table of the Checkout resource: each stored step has a phase, a step
to show, and the condition that becomes true.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

STEPS = ("claim", "reserve", "pay", "confirm")
MAX_NOTE_LENGTH = 500  # a condition's message holds 1024 characters
SHORT_ID_LENGTH = 4
"""How many characters of an order's id are printed. With the ellipsis the id is as wide as the column's head."""
FIELDS = (
    "observedGeneration",
    "checkoutId",
    "orderId",
    "orderShort",
    "phase",
    "step",
    "progress",
    "steps",
    "sagaVersion",
    "total",
    "totalDisplay",
    "startedAt",
    "finishedAt",
    "conditions",
)
PHASES = {
    "ACCEPTED": "Pending",
    "CLAIMED": "Reserving",
    "RESERVED": "Paying",
    "PAYING": "Paying",
    "PAID": "Confirming",
    "COMPLETED": "Completed",
    "CANCELLING": "Compensating",
    "RELEASING": "Compensating",
    "FAILED": "Failed",
}
MESSAGES = {
    "EmptyCart": "the cart was empty: there was nothing to buy",
    "UnknownProduct": "a product is not in the catalogue",
    "OutOfStock": "there was not enough in stock",
    "PaymentDeclined": "the bank declined the payment",
    "ReservationExpired": "the stock was not held long enough to pay for it",
    "Cancelled": "it was cancelled before it was paid",
    "TimedOut": "it was not finished in time",
    "IdempotencyKeyReused": "the idempotency key was used for other items: choose another key",
}


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of a saga. Times are in milliseconds since 1970; 0 means not yet."""

    name: str
    state: str
    attempts: int
    started_ms: int
    finished_ms: int


@dataclass(frozen=True, slots=True)
class SagaView:
    """A checkout as the checkout service describes it. Times as in StepView, money in minor units."""

    id: str
    user_id: int
    key: str
    from_resource: bool
    resource_name: str
    saga_step: str
    reason: str
    note: str
    total_minor: int
    currency: str
    order_id: str
    version: int
    created_ms: int
    finished_ms: int
    steps: tuple[StepView, ...]
    traceparent: str = ""
    """The span of its claim, in W3C's form; empty where the service names none."""

    @property
    def ended(self) -> bool:
        """Return whether it has ended, completed or failed."""
        return self.saga_step in {"COMPLETED", "FAILED"}

    @property
    def failed(self) -> bool:
        """Return whether it has ended without a purchase."""
        return self.saga_step == "FAILED"

    def step(self, name: str) -> StepView | None:
        """Return the record of a step; None for a step that has not begun."""
        for step in self.steps:
            if step.name == name:
                return step
        return None

    def done(self, name: str) -> bool:
        """Return whether a step is done."""
        step = self.step(name)
        return step is not None and step.state == "done"


def project(view: SagaView, generation: int) -> dict[str, Any]:
    """Return the status that shows a saga."""
    claimed = view.done("claim")
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "checkoutId": view.id,
        "phase": PHASES.get(view.saga_step, view.saga_step.capitalize()),
        "step": _shown(view).capitalize(),
        "progress": f"{_progress(view)}/{len(STEPS)}",
        "sagaVersion": view.version,
        "startedAt": time_text(view.created_ms),
        "steps": [_step(step) for step in view.steps],
        "conditions": _conditions(view, generation),
    }
    if view.saga_step == "COMPLETED":
        status["orderId"] = view.order_id
        status["orderShort"] = _short(view.order_id)
    if claimed:
        status["total"] = {"amountMinor": view.total_minor, "currency": view.currency}
        status["totalDisplay"] = f"{view.total_minor // 100}.{view.total_minor % 100:02}"
    if view.finished_ms:
        status["finishedAt"] = time_text(view.finished_ms)
    return status


def refused(reason: str, generation: int, created: str, message: str) -> dict[str, Any]:
    """Return the status of a resource that cannot become a saga. `created` is when the resource was created."""
    cause = _Cause(reason, message, created)
    return {
        "observedGeneration": generation,
        "phase": "Failed",
        "step": "Claim",
        "progress": f"0/{len(STEPS)}",
        "startedAt": created,
        "finishedAt": created,
        "conditions": [
            _condition("Succeeded", "False", cause, generation),
            _condition("Finished", "True", cause, generation),
            _condition("InventoryReserved", "False", cause, generation),
            _condition("PaymentCaptured", "False", cause, generation),
            _condition("Stalled", "True", cause, generation),
        ],
    }


class StatusDigest(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a status: enough to see whether it shows what it should. The status itself takes fifty times the memory."""

    saga_version: int
    """Of the checkout that it shows; 0 where it shows none."""
    fields: bytes
    """A digest of all fields that the operator writes."""


def digest(status: Mapping[str, Any]) -> StatusDigest:
    """Return the digest of a status. Two digests are equal if and only if the statuses show the same."""
    shown = json.dumps([status.get(name) for name in FIELDS], sort_keys=True).encode()
    return StatusDigest(int(status.get("sagaVersion") or 0), hashlib.blake2b(shown, digest_size=16).digest())


NOTHING_SHOWN = digest({})


def _short(order_id: str) -> str:
    """Return an order's id as the column shows it: JSONPath cannot cut a string, so that the status has it cut."""
    if len(order_id) <= SHORT_ID_LENGTH + 1:
        return order_id
    return f"{order_id[:SHORT_ID_LENGTH]}…"


def _progress(view: SagaView) -> int:
    return sum(view.done(name) for name in STEPS)


def _shown(view: SagaView) -> str:
    if view.saga_step == "RELEASING":
        return "release"
    failed = next((step.name for step in view.steps if step.state == "failed"), "")
    if view.saga_step == "FAILED":
        return failed or "claim"
    return {"ACCEPTED": "claim", "CLAIMED": "reserve", "PAID": "confirm", "COMPLETED": "confirm"}.get(
        view.saga_step, "pay"
    )


def _step(step: StepView) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": step.name.capitalize(),
        "state": step.state.capitalize(),
        "attempts": step.attempts,
    }
    shown["startedAt"] = time_text(step.started_ms)
    if step.finished_ms:
        shown["finishedAt"] = time_text(step.finished_ms)
    return shown


@dataclass(frozen=True, slots=True)
class _Cause:
    """Why a condition has its state: a reason in one word, a message, and the time since when."""

    reason: str
    message: str
    since: str


def _conditions(view: SagaView, generation: int) -> list[dict[str, Any]]:
    cause = _cause(view)
    state = {"COMPLETED": "True", "FAILED": "False"}.get(view.saga_step, "Unknown")
    conditions = [
        _condition("Succeeded", state, cause, generation),
        _condition("Finished", "True" if view.ended else "False", cause, generation),
    ]
    for kind, name, text in (
        ("InventoryReserved", "reserve", "the stock is held"),
        ("PaymentCaptured", "pay", "the payment is captured"),
    ):
        step = view.step(name)
        if step and step.state == "done":
            conditions.append(_condition(kind, "True", _Cause("Done", text, time_text(step.finished_ms)), generation))
        else:
            missing = _Cause(cause.reason, cause.message if view.ended else "not yet", time_text(view.created_ms))
            conditions.append(_condition(kind, "False", missing, generation))
    release = view.step("release")
    if release and view.done("release") and view.done("reserve"):
        back = _Cause(cause.reason, "the stock that was held is back", time_text(release.finished_ms))
        conditions.append(_condition("Compensated", "True", back, generation))
    if view.saga_step != "COMPLETED":
        # kstatus reads these two, and takes a resource that has neither for done. They are there only while they are true:
        # https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
        conditions.append(_condition("Stalled" if view.failed else "Reconciling", "True", cause, generation))
    return conditions


def _cause(view: SagaView) -> _Cause:
    since = time_text(view.finished_ms or view.created_ms)  # a condition without a time would have the status refused
    if view.saga_step == "COMPLETED":
        return _Cause("Completed", "the order is made", since)
    note = view.note[:MAX_NOTE_LENGTH]
    if view.saga_step == "FAILED":
        message = MESSAGES.get(view.reason, view.reason)
        if view.reason in {"TimedOut", "Cancelled"} and note:
            message = f"{message}; last: {note}"
        if view.reason == "UnknownProduct" and note:
            message = f"{message}: {note}"
        return _Cause(view.reason or "Failed", message, since)
    phase = PHASES.get(view.saga_step, "Unknown")
    return _Cause(phase, note or f"it is {phase.lower()}", since)


def _condition(kind: str, state: str, cause: _Cause, generation: int) -> dict[str, Any]:
    return {
        "type": kind,
        "status": state,
        "reason": cause.reason,
        "message": cause.message,
        "lastTransitionTime": cause.since,
        "observedGeneration": generation,
    }


def seconds(text: str) -> float:
    """Return a time of the API server, such as 2026-01-01T00:00:00Z, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def time_text(ms: int) -> str:
    """Return a time in milliseconds since 1970 as the API server writes it; "" for 0, which means not yet."""
    return _second(ms // 1000) if ms else ""


@lru_cache(maxsize=1024)  # a status shows the same second many times
def _second(since_1970: int) -> str:
    return datetime.fromtimestamp(since_1970, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
