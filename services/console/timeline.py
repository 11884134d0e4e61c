"""The timeline of a checkout: its steps, what followed them, and the gaps between. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.console.words import Tone, counted, span
from services.pb import checkout_admin_pb2, checkout_pb2

_STEPS = {
    "claim": ("Claim", "what to buy, at which prices"),
    "reserve": ("Reserve", "stock is set aside"),
    "pay": ("Pay", "the bank is asked for the money"),
    "confirm": ("Confirm", "the stock is booked as sold"),
    "release": ("Release", "the stock is given back"),
}
_TONES = {"done": Tone.GOOD, "failed": Tone.BAD, "running": Tone.RUNNING}
GAP_MS = 500
"""A pause between two moments that is worth a word."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened. `left` and `width` place its bar, in percent of the whole story."""

    title: str
    detail: str
    tone: Tone
    state: str
    at_ms: int
    took: str
    """How long it lasted; empty for what has no length."""
    gap: str
    """How long nothing happened before it; empty where that is not worth a word."""
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class _Raw:
    title: str
    detail: str
    tone: Tone
    state: str
    began: int
    ended: int
    lasts: bool
    """Whether it has a length at all: a moment has none, and of some steps it is not measured."""


def timeline(inspected: checkout_admin_pb2.InspectCheckoutResponse) -> tuple[Moment, ...]:
    """Return what happened to a checkout, in the order of time."""
    raw = sorted(_raw(inspected), key=lambda one: one.began)
    first = min(one.began for one in raw)
    whole = max(1, max(one.ended for one in raw) - first)
    moments, quiet_since = [], first
    for one in raw:
        pause = one.began - quiet_since
        moments.append(
            Moment(
                title=one.title,
                detail=one.detail,
                tone=one.tone,
                state=one.state,
                at_ms=one.began,
                took=span(one.ended - one.began) if one.lasts else "",
                gap=span(pause) if pause >= GAP_MS else "",
                left=round(100 * (one.began - first) / whole, 2),
                width=round(100 * (one.ended - one.began) / whole, 2),
            )
        )
        quiet_since = max(quiet_since, one.ended)
    return tuple(moments)


def _raw(inspected: checkout_admin_pb2.InspectCheckoutResponse) -> Iterator[_Raw]:
    checkout, now = inspected.checkout, inspected.now_ms
    whence = "a Checkout resource" if checkout.origin == checkout_pb2.RESOURCE else "the REST API"
    # Steps are timed by the process that drives them; its clock may be a little behind the database's.
    asked_at = min([checkout.created_at_ms, *(step.started_at_ms for step in checkout.steps)])
    yield _event("Asked for", f"by {whence}", asked_at)
    for step in checkout.steps:
        title, detail = _STEPS.get(step.name, (step.name.capitalize(), ""))
        tries = f"; {counted(step.attempts, 'attempt')}" if step.attempts > 1 else ""
        began = step.started_at_ms
        ended = max(began, step.finished_at_ms or now)
        tone = _TONES.get(step.state, Tone.QUIET)
        yield _Raw(title, f"{detail}{tries}", tone, step.state, began, ended, lasts=ended > began)
    if inspected.cancel_requested_at_ms:
        asked = "somebody asked for it, and what is not paid is ended"
        yield _event("Cancellation asked for", asked, inspected.cancel_requested_at_ms, Tone.WARNING)
    yield from _after_the_end(inspected)


def _after_the_end(inspected: checkout_admin_pb2.InspectCheckoutResponse) -> Iterator[_Raw]:
    checkout, event = inspected.checkout, inspected.event
    if checkout.status == checkout_pb2.FAILED:
        yield _event("Failed", "the cart stays as it was", checkout.finished_at_ms, Tone.BAD)
    elif checkout.status == checkout_pb2.COMPLETED:
        yield _event("Completed", "the sale and its event are written together", checkout.finished_at_ms, Tone.GOOD)
        if inspected.HasField("event"):
            yield _published(event, inspected.now_ms)


def _published(event: checkout_admin_pb2.OutboxEvent, now: int) -> _Raw:
    tries = f"; {counted(event.attempts, 'attempt')}" if event.attempts > 1 else ""
    began = event.created_at_ms
    if event.published_at_ms:
        detail = f"to Kafka{tries}; the order and the cart follow"
        return _Raw("Published", detail, Tone.GOOD, "done", began, event.published_at_ms, lasts=True)
    if event.given_up_at_ms:
        return _Raw("Not published", f"given up{tries}", Tone.BAD, "failed", began, event.given_up_at_ms, lasts=True)
    return _Raw(
        "Publishing", f"waits in the outbox{tries}", Tone.RUNNING, "running", began, max(began, now), lasts=True
    )


def _event(title: str, detail: str, at: int, tone: Tone = Tone.QUIET) -> _Raw:
    return _Raw(title, detail, tone, "", at, at, lasts=False)
