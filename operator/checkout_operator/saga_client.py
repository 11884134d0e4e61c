"""The client of the checkout service. The only importer of grpc."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from checkout_operator import tracing
from checkout_operator.spec import Resource
from checkout_operator.status import SagaView, StepView
from services.pb import checkout_pb2 as pb
from services.pb import checkout_pb2_grpc
from services.pb.call_pb2 import Call

CALL_SECONDS = 5.0
REPLACE_SECONDS = 2.0
"""The least age of a channel that is replaced."""
BATCH = 100
"""The most checkouts in a page of a list."""
NO_CHECKOUT = {code.value[0] for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)}
"""The codes for a key that has no checkout, and for one that cannot have any. Neither may stop a comparison."""
_LOAD_BALANCING = '{"loadBalancingConfig": [{"round_robin": {}}]}'  # over all replicas of a `dns:///` address
_OPTIONS = (
    ("grpc.service_config", _LOAD_BALANCING),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    (
        "grpc.min_reconnect_backoff_ms",
        1000,
    ),  # how long one connect may take; by default 20 s to an address that is gone
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.http2.max_pings_without_data", 0),  # the stream of changes sends nothing, and a dead peer must be noticed
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Page:
    """Some checkouts of a list, and where the list goes on."""

    views: Sequence[SagaView]
    next_cursor: str | None
    """None: this is the last page."""


class SagaUnavailable(Exception):
    """The checkout service gave no outcome. The same call may be repeated; `str()` says what happened."""


class KeyReused(Exception):
    """The key belongs to a checkout of other items. Repeating the call does not help."""


class SpecRefused(Exception):
    """The checkout service refuses what the API server accepted; `str()` says why, in words for the resource's owner.

    It happens where the two have different Unicode versions: only one of them takes a character of the key for assigned.
    """


Outcome = SagaView | KeyReused | SpecRefused | SagaUnavailable
"""What starting or cancelling gives for one resource."""


class SagaClient:
    """Starts, cancels and follows checkouts."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._closing: set[asyncio.Task[None]] = set()
        self._open()

    async def close(self) -> None:
        """Close the connections."""
        await self._channel.close()
        await asyncio.gather(*self._closing)

    async def start(self, resources: Sequence[Resource]) -> list[Outcome]:
        """Start the checkouts of resources in one call. Each outcome is the checkout, or the error of this resource alone.

        A key that has a checkout already gives that one. Raises SagaUnavailable when the call as a whole gave no answer.
        """
        with ExitStack() as traces:
            items = [
                pb.StartCheckout(
                    timeout_seconds=one.spec.timeout_seconds,
                    call=Call(traceparent=traces.enter_context(tracing.root("start Checkout", **_names(one)))),
                    **_request(one),
                )
                for one in resources
            ]
            reply = await self._call(self._stub.StartCheckouts, pb.StartCheckoutsRequest(items=items))
        return [_outcome(result, lambda one: one.answer.checkout) for result in reply.results]

    async def cancel(self, resources: Sequence[Resource]) -> list[Outcome]:
        """Cancel the checkouts of resources in one call, with outcomes and errors as `start` has them.

        A checkout that was not started never starts.
        """
        items = [pb.CancelCheckout(**_request(one)) for one in resources]
        reply = await self._call(self._stub.CancelCheckouts, pb.CancelCheckoutsRequest(items=items))
        return [_outcome(result, lambda one: one.checkout) for result in reply.results]

    async def get_for(self, resources: Sequence[Resource]) -> list[SagaView | SagaUnavailable | None]:
        """Return the checkout of each resource in order: None for one that has none, SagaUnavailable for one that fails alone."""
        items = [
            pb.GetCheckout(user_id=one.spec.user_id, checkout_id=one.spec.mirror_of)
            if one.is_mirror
            else pb.GetCheckout(user_id=one.spec.user_id, origin=pb.RESOURCE, idempotency_key=one.spec.key)
            for one in resources
        ]
        reply = await self._call(self._stub.GetCheckouts, pb.GetCheckoutsRequest(items=items))
        return [_found(result) for result in reply.results]

    async def list_rest(self, ended_within: float, cursor: str | None = None) -> Page:
        """Return a page of the checkouts of REST that run, or that ended within so many seconds; the first without `cursor`."""
        request = pb.ListCheckoutsRequest(
            origin=pb.REST, ended_within_ms=int(ended_within * 1000), most=BATCH, cursor=cursor
        )
        reply = await self._call(self._stub.ListCheckouts, request)
        next_cursor = reply.next_cursor if reply.HasField("next_cursor") else None
        return Page([_view(one) for one in reply.checkouts], next_cursor)

    async def follow(self) -> AsyncIterator[SagaView]:
        """Yield every change from now on. Raises SagaUnavailable when the stream breaks."""
        with self._unavailable():
            async for change in self._stub.WatchCheckouts(pb.WatchCheckoutsRequest()):
                for one in change.checkouts:
                    yield _view(one)

    async def _call(self, method: Any, request: Any) -> Any:
        with self._unavailable():
            return await method(request, timeout=CALL_SECONDS)

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        """Raise SagaUnavailable for a call that gave no outcome."""
        try:
            yield
        except grpc.RpcError as error:
            self._replace_channel()
            raise SagaUnavailable(_text(error)) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise SagaUnavailable("the checkout service: the channel of this call was replaced") from None

    def _open(self) -> None:
        self._channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS)
        self._stub: Any = checkout_pb2_grpc.CheckoutServiceStub(self._channel)
        self._opened_at = time.monotonic()

    def _replace_channel(self) -> None:
        """Replace a channel that reaches nobody: a new channel resolves the service's name at once.

        In a cluster the name has no address while no pod of the service is ready. gRPC resolves such a name again after
        a pause that grows to two minutes, as https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md has it.
        The options above limit the pause between connects, and none limits that between lookups.
        """
        reaches_nobody = self._channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        if reaches_nobody and time.monotonic() - self._opened_at >= REPLACE_SECONDS:
            closing = asyncio.create_task(self._channel.close(grace=CALL_SECONDS))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._open()


def _names(resource: Resource) -> dict[str, str]:
    """Return what a span says of a resource."""
    return {"k8s.namespace.name": resource.namespace, "cartwright.resource": resource.name}


def _request(resource: Resource) -> dict[str, Any]:
    return {
        "user_id": resource.spec.user_id,
        "origin": pb.RESOURCE,
        "idempotency_key": resource.spec.key,
        "items": [pb.WantedItem(product_id=product, quantity=quantity) for product, quantity in resource.spec.items],
        "resource": pb.ResourceRef(uid=resource.uid, namespace=resource.namespace, name=resource.name),
    }


def _text(error: grpc.RpcError) -> str:
    """Return what a failed call said: its code and its text."""
    return (
        f"the checkout service: {error.code().name}: {error.details()}"
        if isinstance(error, grpc.aio.AioRpcError)
        else repr(error)
    )


def _outcome(result: Any, checkout: Callable[[Any], pb.Checkout]) -> Outcome:
    if result.WhichOneof("outcome") != "refusal":
        return _view(checkout(result))
    if result.refusal.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]:
        return KeyReused()
    if result.refusal.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]:
        return SpecRefused(result.refusal.message)
    return SagaUnavailable(result.refusal.message)


def _found(result: Any) -> SagaView | SagaUnavailable | None:
    if result.WhichOneof("outcome") == "refusal":
        return None if result.refusal.code in NO_CHECKOUT else SagaUnavailable(result.refusal.message)
    return _view(result.checkout)


def _view(checkout: pb.Checkout) -> SagaView:
    return SagaView(
        id=checkout.id,
        user_id=checkout.user_id,
        key=checkout.idempotency_key,
        from_resource=checkout.origin == pb.RESOURCE,
        resource_name=checkout.resource.name,
        saga_step=checkout.saga_step,
        reason=checkout.reason,
        note=checkout.note,
        total_minor=checkout.total_minor,
        currency=checkout.currency,
        order_id=checkout.order_id,
        version=checkout.version,
        created_ms=checkout.created_at_ms,
        finished_ms=checkout.finished_at_ms,
        steps=tuple(
            StepView(step.name, step.state, step.attempts, step.started_at_ms, step.finished_at_ms)
            for step in checkout.steps
        ),
        traceparent=checkout.traceparent,
    )
