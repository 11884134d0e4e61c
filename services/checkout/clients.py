"""The services that a checkout calls, behind the ports of its driver and its claims.

Calls are retried here and nowhere else: at most three attempts in the request path, and one in the recovery worker, which
has pauses of its own. The time budgets are those of docs/operations.md.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from services.chassis.batch import Batcher, Limits
from services.chassis.batched_call import LIMITS, BatchedCall
from services.chassis.batched_request import MAX_BATCH
from services.chassis.client import Endpoint, outcomes, stamp
from services.chassis.longest_first import LongestFirst
from services.chassis.resilience import Retrier
from services.chassis.telemetry import Metrics
from services.checkout.claims import CartContent, Priced, Unpriced
from services.checkout.domain import Payment, Purchase, Reservation, Session
from services.errors import Conflict, Fault, OutcomeUnknown
from services.pb import (
    cart_pb2,
    cart_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    payment_pb2,
    payment_pb2_grpc,
    product_pb2,
    product_pb2_grpc,
)

CART_SECONDS, PRODUCT_SECONDS = 1.5, 1.5
RESERVE_SECONDS, PIN_SECONDS, CONFIRM_SECONDS, RELEASE_SECONDS = 1.5, 1.5, 1.5, 1.5
CHARGE_SECONDS = 2.0
WAIT_MS = 250
"""How long a charge may hold up those that ride with it."""
CHARGES = Limits(under_way=8)
"""More batches of charges than of others are under way, since each may wait for its slowest for WAIT_MS."""


class CartClient:
    """Fits the port Carts."""

    def __init__(self, endpoint: Endpoint, metrics: Metrics, turns: LongestFirst) -> None:
        stub = cart_pb2_grpc.CartServiceStub(endpoint.channel)
        self._carts: BatchedCall[cart_pb2.Cart] = BatchedCall(
            endpoint,
            stub.GetCarts,
            cart_pb2.GetCartsRequest,
            lambda result: result.cart,
            within=CART_SECONDS,
            turns=turns,
        )
        self._retry = Retrier(endpoint.name, metrics)

    async def content(self, user_id: int, bought: Sequence[Purchase]) -> CartContent:
        """Remove the purchases from the cart, then read the document past every cache."""
        item = cart_pb2.GetCart(user_id=user_id, for_claim=True, bought=[_purchase(one) for one in bought])
        cart = await self._retry(lambda: self._carts(item))
        lines = (
            Unpriced(line.line_id, line.product_id, line.quantity, line.product_name or None) for line in cart.lines
        )
        return CartContent(cart.version, tuple(lines))


def _purchase(purchase: Purchase) -> cart_pb2.Purchase:
    lines = [cart_pb2.PurchasedLine(line_id=line_id, quantity=quantity) for line_id, quantity in purchase.lines]
    return cart_pb2.Purchase(checkout_id=purchase.checkout_id, lines=lines)


class ProductClient:
    """Fits the port Prices. Claims that are made at once ask once for a product that several of them buy."""

    def __init__(self, endpoint: Endpoint, metrics: Metrics, turns: LongestFirst) -> None:
        self._endpoint = endpoint
        self._stub = product_pb2_grpc.ProductServiceStub(endpoint.channel)
        self._retry = Retrier(endpoint.name, metrics)
        self._asked: Batcher[tuple[int, ...], Sequence[Priced | Fault]] = Batcher(
            f"{endpoint.name}.GetProducts", self._ask, metrics, limits=LIMITS, turns=turns
        )

    async def priced(self, product_ids: Sequence[int]) -> Sequence[Priced | Fault]:
        """Return each product as it is now, or the fault that its request ended with."""
        return await self._retry(lambda: self._asked.ask(tuple(product_ids)))

    async def _ask(self, asked: Sequence[tuple[int, ...]]) -> list[Sequence[Priced | Fault]]:
        wanted = list(dict.fromkeys(itertools.chain.from_iterable(asked)))
        known: dict[int, Priced | Fault] = {}
        for start in range(0, len(wanted), MAX_BATCH):
            ids = wanted[start : start + MAX_BATCH]
            request = product_pb2.GetProductsRequest()
            for product_id in ids:
                stamp(request.items.add(product_id=product_id).call)
            reply = await self._endpoint.send(self._stub.GetProducts, request, within=PRODUCT_SECONDS)
            found = outcomes(reply.results, lambda result: _priced(result.product), expected=len(ids))
            known |= dict(zip(ids, found, strict=True))
        return [[known[product_id] for product_id in ids] for ids in asked]


def _priced(product: product_pb2.Product) -> Priced:
    return Priced(product.id, product.name, product.price_minor, product.currency)


class InventoryClient:
    """Fits the port Stock. What many sagas ask for at once goes as one call of each kind."""

    def __init__(self, endpoint: Endpoint, metrics: Metrics, turns: LongestFirst, *, attempts: int) -> None:
        stub = inventory_pb2_grpc.InventoryServiceStub(endpoint.channel)
        refs = inventory_pb2.ReservationsRequest

        def batched(method: Any, request: Any, seconds: float) -> BatchedCall[inventory_pb2.Reservation]:
            return BatchedCall(
                endpoint, method, request, lambda result: result.reservation, within=seconds, turns=turns
            )

        self._reserve = batched(stub.Reserve, inventory_pb2.ReserveRequest, RESERVE_SECONDS)
        self._pin = batched(stub.Pin, refs, PIN_SECONDS)
        self._confirm = batched(stub.Confirm, refs, CONFIRM_SECONDS)
        self._release = batched(stub.Release, refs, RELEASE_SECONDS)
        self._retry = Retrier(endpoint.name, metrics, attempts=attempts)

    async def reserve(self, session: Session) -> Reservation:
        """Reserve the lines and pin them."""
        lines = [
            inventory_pb2.ReservationLine(product_id=line.product_id, quantity=line.quantity) for line in session.lines
        ]
        return await self._ask(
            self._reserve, inventory_pb2.Reserve(checkout_id=session.id, lines=lines, pin=True), session
        )

    async def pin(self, session: Session) -> Reservation:
        """Remove the reservation's expiry."""
        return await self._ask(self._pin, inventory_pb2.ReservationRef(checkout_id=session.id), session)

    async def confirm(self, session: Session) -> Reservation:
        """Sell what is held."""
        return await self._ask(self._confirm, inventory_pb2.ReservationRef(checkout_id=session.id), session)

    async def release(self, session: Session) -> Reservation:
        """Release the reserved stock; without a reservation leave a tombstone, which bars a late one."""
        return await self._ask(self._release, inventory_pb2.ReservationRef(checkout_id=session.id), session)

    async def _ask(self, call: BatchedCall[inventory_pb2.Reservation], item: Any, session: Session) -> Reservation:
        item.call.lease_epoch = session.lease_epoch
        try:
            reservation = await self._retry(lambda: call(item))
        except Conflict:
            return Reservation.REFUSED
        return Reservation(inventory_pb2.ReservationState.Name(reservation.state))


class PaymentClient:
    """Fits the port Payments.

    Charges ride together, and none waits for a slow one: payment answers that it still asks the provider, and the charge is
    sent again with those that have come since. They take no turns with other steps: how long a provider takes holds up nobody.
    """

    def __init__(self, endpoint: Endpoint, metrics: Metrics, *, attempts: int) -> None:
        stub = payment_pb2_grpc.PaymentServiceStub(endpoint.channel)

        def batched(method: Any, request: Any, limits: Limits) -> BatchedCall[payment_pb2.Payment]:
            return BatchedCall(
                endpoint, method, request, lambda result: result.payment, within=CHARGE_SECONDS, limits=limits
            )

        self._charge = batched(stub.Charge, payment_pb2.ChargeRequest, CHARGES)
        self._cancel = batched(stub.Cancel, payment_pb2.CancelRequest, LIMITS)
        self._retry = Retrier(endpoint.name, metrics, attempts=attempts)

    async def charge(self, session: Session) -> Payment:
        """Charge the total."""
        item = payment_pb2.Charge(
            checkout_id=session.id,
            user_id=session.user_id,
            amount_minor=session.total_minor,
            currency=session.currency,
            wait_ms=WAIT_MS,
        )
        item.call.lease_epoch = session.lease_epoch
        return await self._retry(lambda: self._charged(item))

    async def cancel(self, session: Session) -> Payment:
        """Cancel the payment if it is not captured."""
        item = payment_pb2.CancelPayment(checkout_id=session.id)
        item.call.lease_epoch = session.lease_epoch
        return _state(await self._retry(lambda: self._cancel(item)))

    async def _charged(self, item: payment_pb2.Charge) -> Payment:
        ends_at = asyncio.get_running_loop().time() + CHARGE_SECONDS
        while asyncio.get_running_loop().time() < ends_at:
            payment = await self._charge(item)
            if payment.state != payment_pb2.ASKING:
                return _state(payment)
        raise OutcomeUnknown("the payment provider did not answer")


def _state(payment: payment_pb2.Payment) -> Payment:
    return Payment(payment_pb2.PaymentState.Name(payment.state))
