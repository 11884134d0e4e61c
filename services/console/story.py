"""One checkout as a story: what it did and when, what it waits for, and what a person may do. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.console.answers import Answer, AnswerState
from services.console.timeline import Moment, timeline
from services.console.words import Phase, money, phase_of, reason_of, span
from services.pb import checkout_admin_pb2, checkout_pb2, inventory_pb2, orders_pb2, payment_pb2

SLOW_MS = 3000
"""How long the bank may take before the story says that it has not answered."""
CANCELLABLE = frozenset({"ACCEPTED", "CLAIMED", "RESERVED", "PAYING"})
"""The steps before the payment is known to be captured. A cancellation that comes too late changes nothing."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A checkout, and what the other services hold of it."""

    inspected: checkout_admin_pb2.InspectCheckoutResponse
    payment: Answer[payment_pb2.PaymentRecord]
    reservation: Answer[inventory_pb2.ReservationRecord]
    order: Answer[orders_pb2.Order]

    @property
    def checkout(self) -> checkout_pb2.Checkout:
        """The checkout itself."""
        return self.inspected.checkout


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line that is bought."""

    product_id: int
    name: str
    quantity: int
    price: str
    total: str


@dataclass(frozen=True, slots=True)
class Story:
    """What the page of one checkout shows."""

    parts: Parts
    phase: Phase
    headline: str
    explanation: tuple[str, ...]
    moments: tuple[Moment, ...]
    lines: tuple[ShownLine, ...]
    total: str
    took: str
    can_cancel: bool
    running: bool
    settled: bool
    """Whether nothing is left to come: it has ended, and its order is there if it has one."""
    resource: str
    trace_id: str
    away: tuple[str, ...]
    is_sampled: bool
    """Whether every process has exported its part of the trace."""

    @property
    def checkout(self) -> checkout_pb2.Checkout:
        """The checkout itself."""
        return self.parts.checkout


def tell(parts: Parts) -> Story:
    """Return the story of a checkout."""
    checkout, inspected = parts.checkout, parts.inspected
    running = checkout.status == checkout_pb2.PROCESSING
    ended_at = checkout.finished_at_ms or inspected.now_ms
    total = money(checkout.total_minor, checkout.currency)
    return Story(
        parts=parts,
        phase=phase_of(checkout.saga_step),
        headline=_headline(parts, total),
        explanation=tuple(_explanation(parts)),
        moments=timeline(inspected),
        lines=tuple(
            ShownLine(
                line.product_id,
                line.product_name,
                line.quantity,
                money(line.unit_price_minor, checkout.currency),
                money(line.unit_price_minor * line.quantity, checkout.currency),
            )
            for line in checkout.lines
        ),
        total=total,
        took=span(ended_at - checkout.created_at_ms),
        can_cancel=running and checkout.saga_step in CANCELLABLE and not inspected.cancel_requested_at_ms,
        running=running,
        settled=not running
        and (checkout.status == checkout_pb2.FAILED or parts.order.state is AnswerState.FOUND)
        and bool(checkout.status == checkout_pb2.FAILED or _is_published(inspected)),
        resource=resource_of(checkout),
        trace_id=inspected.traceparent.split("-")[1] if inspected.traceparent.count("-") == 3 else "",  # noqa: PLR2004 - W3C
        away=tuple(one.part for one in (parts.payment, parts.reservation, parts.order) if one.is_away),
        is_sampled=inspected.traceparent[-1:] in set("13579bdf"),  # W3C: the lowest bit of the flags
    )


def resource_of(checkout: checkout_pb2.Checkout) -> str:
    """Return `namespace/name` of the resource that asked for it; of a REST checkout the name of its mirror."""
    if checkout.origin == checkout_pb2.RESOURCE:
        return f"{checkout.resource.namespace}/{checkout.resource.name}"
    return f"co-{checkout.id}"


def _is_published(inspected: checkout_admin_pb2.InspectCheckoutResponse) -> bool:
    """Whether the event is published; one that is no longer kept was."""
    return not inspected.HasField("event") or bool(inspected.event.published_at_ms or inspected.event.given_up_at_ms)


def _headline(parts: Parts, total: str) -> str:
    checkout = parts.checkout
    if checkout.status == checkout_pb2.COMPLETED:
        if parts.order.state is AnswerState.FOUND:
            return f"Bought: {total} was charged, and the order is there."
        return f"Bought: {total} was charged. The order is on its way."
    if checkout.status == checkout_pb2.FAILED:
        return f"Not bought: {reason_of(checkout.reason)}. Nothing was charged."
    if parts.inspected.cancel_requested_at_ms and checkout.saga_step != "PAID":
        return "It is being cancelled."
    return {
        "ACCEPTED": "Waiting to begin.",
        "CLAIMED": "Reserving the stock.",
        "CANCELLING": "It is being cancelled.",
        "PAID": "Paid. The stock is being booked as sold.",
        "RELEASING": f"Not bought: {reason_of(checkout.reason) or 'it failed'}. The stock is being given back.",
    }.get(checkout.saga_step, "Waiting for the payment.")


def _explanation(parts: Parts) -> Iterator[str]:
    checkout = parts.checkout
    if checkout.status == checkout_pb2.COMPLETED:
        yield from _where_the_event_is(parts)
    elif checkout.status == checkout_pb2.FAILED:
        if checkout.note:
            yield f"What made it fail: {checkout.note}."
        yield "Its cart is as it was. Another attempt needs a new key."
    else:
        yield from _what_it_waits_for(parts)


def _where_the_event_is(parts: Parts) -> Iterator[str]:
    inspected = parts.inspected
    if inspected.HasField("event") and inspected.event.given_up_at_ms:
        yield (
            f"Its event could not be published, and was given up: {inspected.event.last_error}."
            " The order and the cart wait for it. Somebody must look at this."
        )
    elif not _is_published(inspected):
        since = span(inspected.now_ms - inspected.event.created_at_ms)
        yield f"Its event has waited in the outbox for {since}. The relay publishes it; then the order is made."
    elif parts.order.state is AnswerState.NONE:
        yield "Its event is published. The orders service has not made the order yet."


def _what_it_waits_for(parts: Parts) -> Iterator[str]:
    checkout, inspected = parts.checkout, parts.inspected
    paying_since = next((step.started_at_ms for step in checkout.steps if step.name == "pay"), inspected.now_ms)
    undecided = parts.payment.value is not None and parts.payment.value.state == payment_pb2.INTENT
    if checkout.saga_step in {"RESERVED", "PAYING", "CANCELLING"} and undecided:
        waited = inspected.now_ms - paying_since
        if waited > SLOW_MS:
            yield (
                f"The bank has not answered for {span(waited)}. It may have charged, or not: nobody knows yet."
                " The same charge is repeated until it answers, and never charged twice."
            )
    if checkout.note:
        yield f"What its last attempt met: {checkout.note}."
    if inspected.driven:
        yield f"A process works on it: {inspected.lease_owner}."
    elif inspected.next_attempt_at_ms > inspected.now_ms:
        yield f"Nobody works on it now. The next attempt is in {span(inspected.next_attempt_at_ms - inspected.now_ms)}."
    else:
        yield "Nobody works on it now. Recovery takes it over within a second."
    if inspected.cancel_requested_at_ms:
        yield "Somebody has asked to cancel it. If it turns out to be paid already, it completes."
    elif checkout.saga_step in CANCELLABLE and inspected.cancel_after_ms > inspected.now_ms:
        left = span(inspected.cancel_after_ms - inspected.now_ms)
        yield f"If it is not paid within {left}, it is cancelled by itself."
