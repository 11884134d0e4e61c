"""Checkouts over gRPC."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.chassis import call
from services.chassis.rpc import batch
from services.checkout.domain import AnotherRunning, Session, UnknownCheckout, checked_key
from services.checkout.saga import shown_step
from services.checkout.usecases import Checkouts, Start, Started
from services.errors import Fault, Invalid
from services.pb import checkout_pb2 as pb
from services.pb import checkout_pb2_grpc

SERVICE = "cartwright.checkout.CheckoutService"
WAIT_SECONDS = 4.5  # a shopper is answered within 5 s; the gateway gives 4.8 s
ANSWER_SECONDS = 0.5  # kept for the way back


class CheckoutApi(checkout_pb2_grpc.CheckoutServiceServicer):
    """Message ↔ domain; the rules are the use case's."""

    def __init__(self, checkouts: Checkouts) -> None:
        self._checkouts = checkouts

    async def StartCheckouts(self, request: pb.StartCheckoutsRequest, context: Any) -> pb.StartCheckoutsResponse:
        """Start, join or replay checkouts."""
        running: dict[int, str] = {}

        async def act(wishes: Sequence[Start]) -> Sequence[Started | Fault]:
            outcomes = await self._checkouts.start(wishes)
            for wish, outcome in zip(wishes, outcomes, strict=True):
                if isinstance(outcome, AnotherRunning):
                    running[wish.user_id] = outcome.checkout_id
            return outcomes

        results = await batch(request.items, parse=_start, act=act, render=_started, refused=pb.StartCheckoutResult)
        for item, result in zip(request.items, results, strict=True):
            if result.WhichOneof("outcome") == "refusal" and result.refusal.code == CONFLICT:
                result.running_checkout_id = running.get(item.user_id, "")
        return pb.StartCheckoutsResponse(results=results)

    async def GetCheckouts(self, request: pb.GetCheckoutsRequest, context: Any) -> pb.GetCheckoutsResponse:
        """Give checkouts of their users."""
        results = await batch(
            request.items,
            parse=_get,
            act=self._checkouts.get,
            render=lambda session: pb.GetCheckoutResult(checkout=_checkout(session)),
            refused=pb.GetCheckoutResult,
        )
        return pb.GetCheckoutsResponse(results=results)


CONFLICT = 9  # FAILED_PRECONDITION


def _start(item: pb.StartCheckout) -> Start:
    if item.user_id < 1:
        raise Invalid("user_id must be a positive integer")
    if item.origin != pb.REST:
        raise Invalid("origin must be REST")
    left = call.current().remaining()
    mine = item.call.timeout_ms / 1000 or WAIT_SECONDS
    wait = min(mine, WAIT_SECONDS if left is None else left) - ANSWER_SECONDS
    return Start(item.user_id, checked_key(item.idempotency_key), max(0.0, min(WAIT_SECONDS, wait)))


def _get(item: pb.GetCheckout) -> tuple[int, str]:
    if item.user_id < 1:
        raise Invalid("user_id must be a positive integer")
    if not item.checkout_id:
        raise UnknownCheckout
    return item.user_id, item.checkout_id


def _started(started: Started) -> pb.StartCheckoutResult:
    session = started.session
    return pb.StartCheckoutResult(
        answer=pb.Answer(
            checkout_id=session.id,
            status=session.status.value,
            replayed=started.replayed,
            body=session.response_body,
        )
    )


def _checkout(session: Session) -> pb.Checkout:
    return pb.Checkout(
        id=session.id,
        user_id=session.user_id,
        status=session.status.value,
        step=shown_step(session),
        reason=session.reason or "",
        total_minor=session.total_minor,
        currency=session.currency,
        lines=[
            pb.Line(
                line_id=line.line_id,
                product_id=line.product_id,
                product_name=line.name,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
            )
            for line in session.lines
        ],
        steps=[
            pb.StepRecord(
                name=step.name,
                state=step.state,
                attempts=step.attempts,
                started_at_ms=_ms(step.started_at),
                finished_at_ms=_ms(step.finished_at),
            )
            for step in session.steps
        ],
        order_id=session.order_id,
        version=session.version,
        created_at_ms=_ms(session.created_at),
        finished_at_ms=_ms(session.finished_at),
    )


def _ms(when: datetime | None) -> int:
    return int(when.timestamp() * 1000) if when else 0
