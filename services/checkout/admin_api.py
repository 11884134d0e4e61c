"""Checkouts over gRPC, for staff: every user's."""

import base64
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from services.checkout.domain import Origin, Reason, Session, Step
from services.checkout.messages import checkout_message, milliseconds
from services.checkout.search import Event, Filter, Inspection, Page, Position, Summary
from services.errors import Invalid
from services.pb import checkout_admin_pb2 as pb
from services.pb import checkout_admin_pb2_grpc, checkout_pb2

SERVICE = "cartwright.checkout.CheckoutAdmin"
MOST = 200
MAX_TEXT = 255
SUMMARY_SPAN = timedelta(hours=1, minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Directory(Protocol):
    """The checkouts of every user."""

    async def search(self, wanted: Filter, limit: int, after: Position | None = None) -> Page:
        """Return at most `limit` checkouts that pass, newest first; with `after` only those that come after it."""

    async def find_by(self, text: str, limit: int) -> Sequence[Session]:
        """Return the checkouts that have this id, order id, key, request id, trace id or resource name, newest first."""

    async def inspect(self, checkout_id: str) -> Inspection:
        """Return a checkout, who drives it, and its event. UnknownCheckout: there is none of this id."""

    async def request_cancel_of(self, checkout_id: str) -> Session:
        """Note that a checkout is to be cancelled, if it runs, and return it. UnknownCheckout: there is none of this id."""

    async def summary(self, since: datetime) -> Summary:
        """Return what runs, what has ended since then by minute, and how long steps took lately."""


class CheckoutAdminApi(checkout_admin_pb2_grpc.CheckoutAdminServicer):
    """Message ↔ domain."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def SearchCheckouts(self, request: pb.SearchCheckoutsRequest, context: Any) -> pb.SearchCheckoutsResponse:
        """Return a page of what passes a filter."""
        after = decode_position(request.cursor) if request.HasField("cursor") else None
        page = await self._directory.search(_filter(request.filter), _most(request.most), after)
        return pb.SearchCheckoutsResponse(
            checkouts=[checkout_message(session) for session in page.sessions],
            next_cursor=encode_position(page.following) if page.following else None,
            searched_to_ms=milliseconds(page.searched_to) if page.searched_to else None,
        )

    async def FindCheckouts(self, request: pb.FindCheckoutsRequest, context: Any) -> pb.FindCheckoutsResponse:
        """Return what has one of these names."""
        text = request.text
        if not 1 <= len(text) <= MAX_TEXT or "\0" in text:
            raise Invalid(f"text must be 1 to {MAX_TEXT} characters")
        found = await self._directory.find_by(text, _most(request.most))
        return pb.FindCheckoutsResponse(checkouts=[checkout_message(session) for session in found])

    async def InspectCheckout(self, request: pb.InspectCheckoutRequest, context: Any) -> pb.InspectCheckoutResponse:
        """Return one checkout and what is around it."""
        return _inspection(await self._directory.inspect(request.checkout_id))

    async def CancelCheckout(self, request: pb.CancelCheckoutRequest, context: Any) -> pb.CancelCheckoutResponse:
        """Ask for a cancellation."""
        session = await self._directory.request_cancel_of(request.checkout_id)
        return pb.CancelCheckoutResponse(checkout=checkout_message(session))

    async def SummarizeCheckouts(
        self, request: pb.SummarizeCheckoutsRequest, context: Any
    ) -> pb.SummarizeCheckoutsResponse:
        """Return the figures of now."""
        since = max(_time(request.since_ms), datetime.now(UTC) - SUMMARY_SPAN)
        return _summary(await self._directory.summary(since))


def encode_position(position: Position) -> str:
    """Return a place in the list as a cursor."""
    micros = (position.created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}.{position.checkout_id}".encode()).decode().rstrip("=")


def decode_position(cursor: str) -> Position:
    """Return the place that a cursor names. Invalid: no page gave this cursor."""
    try:
        micros, _, checkout_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".")
        return Position(_EPOCH + timedelta(microseconds=int(micros)), str(uuid.UUID(checkout_id)))
    except (ValueError, OverflowError) as error:
        raise Invalid("cursor must be the next_cursor of a page") from error


def _filter(message: pb.CheckoutFilter) -> Filter:
    def given(name: str) -> Any:
        return getattr(message, name) if message.HasField(name) else None

    origins = {checkout_pb2.REST: Origin.REST, checkout_pb2.RESOURCE: Origin.RESOURCE}
    origin = given("origin")
    if origin is not None and origin not in origins:
        raise Invalid("origin must be REST or RESOURCE")
    reason = given("reason")
    times = {name: given(f"{name}_ms") for name in ("created_from", "created_before")}
    return Filter(
        user_id=given("user_id"),
        steps=frozenset(_named(Step, "saga_steps", step) for step in message.saga_steps),
        reason=None if reason is None else _named(Reason, "reason", reason),
        origin=None if origin is None else origins[origin],
        product_id=given("product_id"),
        total_from=given("total_from_minor"),
        total_to=given("total_to_minor"),
        **{name: None if value is None else _time(value) for name, value in times.items()},
    )


def _named(kind: Any, field: str, value: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise Invalid(f"{field} must be one of {', '.join(kind)}") from None


def _time(milliseconds_since_epoch: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds_since_epoch)
    except OverflowError:
        raise Invalid("a time is out of range") from None


def _most(value: int) -> int:
    if not 1 <= value <= MOST:
        raise Invalid(f"most must be 1 to {MOST}")
    return value


def _inspection(found: Inspection) -> pb.InspectCheckoutResponse:
    session = found.session
    return pb.InspectCheckoutResponse(
        checkout=checkout_message(session),
        request_id=session.request_id,
        traceparent=session.traceparent,
        buys_cart=session.source == "cart",
        attempts=session.attempts,
        lease_owner=found.lease_owner,
        lease_epoch=session.lease_epoch,
        driven=found.driven,
        next_attempt_at_ms=milliseconds(found.next_attempt_at),
        cancel_after_ms=milliseconds(found.cancel_after),
        cancel_requested_at_ms=milliseconds(found.cancel_requested_at),
        event=_event(found.event) if found.event else None,
        now_ms=milliseconds(found.now),
    )


def _event(event: Event) -> pb.OutboxEvent:
    return pb.OutboxEvent(
        event_id=event.event_id,
        created_at_ms=milliseconds(event.created_at),
        published_at_ms=milliseconds(event.published_at),
        given_up_at_ms=milliseconds(event.given_up_at),
        attempts=event.attempts,
        last_error=event.last_error,
    )


def _summary(found: Summary) -> pb.SummarizeCheckoutsResponse:
    return pb.SummarizeCheckoutsResponse(
        running=[
            pb.RunningStep(saga_step=one.step, count=one.count, oldest_created_at_ms=milliseconds(one.oldest))
            for one in found.running
        ],
        ended=[
            pb.EndedInMinute(
                minute_ms=milliseconds(one.minute),
                status=one.status.value,
                reason=one.reason or "",
                count=one.count,
            )
            for one in found.ended
        ],
        steps=[pb.StepTime(name=one.name, count=one.count, p50_ms=one.p50, p99_ms=one.p99) for one in found.steps],
        now_ms=milliseconds(found.now),
    )
