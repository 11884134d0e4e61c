"""Checkouts over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from services.chassis import call, tracing
from services.chassis.batched_request import batch, call_of
from services.checkout.domain import (
    AnotherRunning,
    Origin,
    Resource,
    ResourceRequest,
    Session,
    UnknownCheckout,
    UnknownProducts,
)
from services.checkout.messages import checkout_message
from services.checkout.usecases import Answer, CartRequest, Checkouts, Started
from services.errors import Fault, Invalid
from services.idempotency import checked_key
from services.pb import checkout_pb2 as pb
from services.pb import checkout_pb2_grpc
from services.users import checked_user

SERVICE = "cartwright.checkout.CheckoutService"
WAIT_SECONDS = 4.5  # a shopper is answered within 5 s; the gateway gives 4.8 s
ANSWER_SECONDS = 0.5  # kept for the way back

MAX_LISTED = 2000
MAX_NAME = 253  # of anything in Kubernetes
Follow = Callable[[], AsyncIterator[Sequence[Session]]]


class Recent(Protocol):
    """The rows of checkouts, for those who compare themselves with them."""

    async def recent(self, origin: Origin, ended_within: float, limit: int, after: str | None) -> Sequence[Session]:
        """Return those of an origin that run, or that ended within so many seconds, oldest first.

        With `after`, the id of a checkout, only those that were created after it.
        """


class CheckoutApi(checkout_pb2_grpc.CheckoutServiceServicer):
    """Message ↔ domain; the rules are the use case's."""

    def __init__(self, checkouts: Checkouts, recent: Recent, follow: Follow) -> None:
        self._checkouts = checkouts
        self._recent = recent
        self._follow = follow

    async def StartCheckouts(self, request: pb.StartCheckoutsRequest, context: Any) -> pb.StartCheckoutsResponse:
        """Start, join or replay checkouts."""
        conflicts: dict[tuple[int, str], Fault] = {}

        async def one(wanted: Wanted) -> Answer | Exception:
            with call.within(wanted.asked), tracing.root("checkout.start") as span:
                span.set("user.id", wanted.request.user_id)
                [outcome] = await self._checkouts.start([wanted.request])
            if isinstance(outcome, AnotherRunning | UnknownProducts):
                conflicts[wanted.request.user_id, wanted.request.key] = outcome
            return outcome

        async def act(wanted: Sequence[Wanted]) -> Sequence[Answer | Exception]:
            return await asyncio.gather(*map(one, wanted))

        results = await batch(request.items, parse=_start, act=act, render=_started, refused=pb.StartCheckoutResult)
        for item, result in zip(request.items, results, strict=True):
            if result.WhichOneof("outcome") == "refusal" and result.refusal.code == CONFLICT:
                _explain(result, conflicts.get((item.user_id, item.idempotency_key)))
        return pb.StartCheckoutsResponse(results=results)

    async def GetCheckouts(self, request: pb.GetCheckoutsRequest, context: Any) -> pb.GetCheckoutsResponse:
        """Return checkouts to their users."""

        async def act(asked: Sequence[tuple[int, str] | tuple[int, Origin, str]]) -> Sequence[Session | Exception]:
            by_id = [one for one in asked if len(one) == 2]  # noqa: PLR2004 - (user, id), or (user, origin, key)
            by_key = [one for one in asked if len(one) == 3]  # noqa: PLR2004
            ids, keys = iter(await self._checkouts.get(by_id)), iter(await self._checkouts.find(by_key))
            return [next(ids if len(one) == 2 else keys) for one in asked]  # noqa: PLR2004

        results = await batch(
            request.items,
            parse=_get,
            act=act,
            render=lambda session: pb.GetCheckoutResult(checkout=checkout_message(session)),
            refused=pb.GetCheckoutResult,
        )
        return pb.GetCheckoutsResponse(results=results)

    async def CancelCheckouts(self, request: pb.CancelCheckoutsRequest, context: Any) -> pb.CancelCheckoutsResponse:
        """Cancel what is not yet paid."""
        results = await batch(
            request.items,
            parse=_cancel,
            act=self._checkouts.cancel,
            render=lambda session: pb.CancelCheckoutResult(checkout=checkout_message(session)),
            refused=pb.CancelCheckoutResult,
        )
        return pb.CancelCheckoutsResponse(results=results)

    async def ListCheckouts(self, request: pb.ListCheckoutsRequest, context: Any) -> pb.ListCheckoutsResponse:
        """Return a page of what runs, and of what has just ended. The cursor of a page is the id of its last checkout."""
        limit = min(request.most or MAX_LISTED, MAX_LISTED)
        after = _cursor(request.cursor) if request.HasField("cursor") else None
        sessions = await self._recent.recent(_origin(request.origin), request.ended_within_ms / 1000, limit, after)
        next_cursor = sessions[-1].id if len(sessions) == limit else None
        return pb.ListCheckoutsResponse(
            checkouts=[checkout_message(session) for session in sessions], next_cursor=next_cursor
        )

    async def WatchCheckouts(
        self, request: pb.WatchCheckoutsRequest, context: Any
    ) -> AsyncIterator[pb.WatchCheckoutsResponse]:
        """Stream every change until the service stops."""
        async for sessions in self._follow():
            yield pb.WatchCheckoutsResponse(checkouts=[checkout_message(session) for session in sessions])


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request of a batch, and who makes it: the saga that it starts keeps that one's ids and time."""

    request: CartRequest | ResourceRequest
    asked: call.Call


CONFLICT = 9  # FAILED_PRECONDITION


def _origin(value: int) -> Origin:
    if value not in {pb.REST, pb.RESOURCE}:
        raise Invalid("origin must be REST or RESOURCE")
    return Origin.REST if value == pb.REST else Origin.RESOURCE


def _cursor(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise Invalid("cursor must be the next_cursor of a page") from None


def _start(item: pb.StartCheckout) -> Wanted:
    return Wanted(_request(item), call_of([item.call]))


def _request(item: pb.StartCheckout) -> CartRequest | ResourceRequest:
    user_id = checked_user(item.user_id)
    if _origin(item.origin) is Origin.RESOURCE:
        return _resource_request(item, float(item.timeout_seconds) or None)
    if item.items:
        raise Invalid("items go with origin RESOURCE")
    left = call.current().remaining()
    mine = item.call.timeout_ms / 1000 or WAIT_SECONDS
    wait = min(mine, WAIT_SECONDS if left is None else left) - ANSWER_SECONDS
    patience = item.wait_ms / 1000 or None
    return CartRequest(user_id, checked_key(item.idempotency_key), max(0.0, min(WAIT_SECONDS, wait)), patience)


def _resource_request(item: pb.StartCheckout | pb.CancelCheckout, timeout: float | None) -> ResourceRequest:
    items = tuple((one.product_id, one.quantity) for one in item.items)
    return ResourceRequest(
        checked_user(item.user_id), checked_key(item.idempotency_key), items, _resource(item.resource), timeout
    )


def _resource(ref: pb.ResourceRef) -> Resource:
    for name, value in (("uid", ref.uid), ("namespace", ref.namespace), ("name", ref.name)):
        if not value or len(value) > MAX_NAME or not value.isprintable():
            raise Invalid(f"resource.{name} must be 1 to {MAX_NAME} characters, without control characters")
    return Resource(ref.uid, ref.namespace, ref.name)


def _cancel(item: pb.CancelCheckout) -> ResourceRequest:
    if _origin(item.origin) is not Origin.RESOURCE:
        raise Invalid("only checkouts of resources can be cancelled")
    return _resource_request(item, None)


def _get(item: pb.GetCheckout) -> tuple[int, str] | tuple[int, Origin, str]:
    if item.idempotency_key and not item.checkout_id:
        return checked_user(item.user_id), _origin(item.origin), checked_key(item.idempotency_key)
    if not item.checkout_id:
        raise UnknownCheckout
    return checked_user(item.user_id), item.checkout_id


def _started(started: Answer) -> pb.StartCheckoutResult:
    if not isinstance(started, Started):
        return pb.StartCheckoutResult(pending=pb.Pending())
    session = started.session
    return pb.StartCheckoutResult(
        answer=pb.Answer(
            checkout_id=session.id,
            status=session.status.value,
            replayed=started.replayed,
            body=session.response_body,
            checkout=checkout_message(session) if session.origin is Origin.RESOURCE else None,
        )
    )


def _explain(result: pb.StartCheckoutResult, conflict: Fault | None) -> None:
    """Put what a program needs to know of a conflict beside its words."""
    if isinstance(conflict, AnotherRunning):
        result.running_checkout_id = conflict.checkout_id
    elif isinstance(conflict, UnknownProducts):
        for product in conflict.products:
            result.unknown_products.add(product_id=product.product_id, product_name=product.name or "")
