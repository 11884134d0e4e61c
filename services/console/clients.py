"""Calls the services that the console shows. It reads; the one thing that it asks for is a cancellation.

Nothing is repeated here: a page says which part did not answer, and a person loads it again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from operator import attrgetter
from typing import Any, TypeVar

from services.chassis.client import Endpoint, outcomes, stamp
from services.chassis.telemetry import Metrics
from services.chassis.web import Check
from services.console.answers import Answer, AnswerState
from services.console.config import Config
from services.console.story import Parts, Story, tell
from services.errors import Fault, InternalError, NotFound, Transient
from services.pb import (
    checkout_admin_pb2,
    checkout_admin_pb2_grpc,
    checkout_pb2,
    checkout_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    orders_pb2,
    orders_pb2_grpc,
    payment_pb2,
    payment_pb2_grpc,
    product_pb2,
    product_pb2_grpc,
)

V = TypeVar("V")
SECONDS = 2.0


class Services:
    """The calls that the console makes. A fault is raised as the service said it."""

    def __init__(self, ends: Mapping[str, Endpoint]) -> None:
        """Take the endpoints of `checkout`, `payment`, `inventory`, `orders` and `product`."""
        self._ends = ends
        self._admin = checkout_admin_pb2_grpc.CheckoutAdminStub(ends["checkout"].channel)
        self._checkouts = checkout_pb2_grpc.CheckoutServiceStub(ends["checkout"].channel)
        self._payments = payment_pb2_grpc.PaymentServiceStub(ends["payment"].channel)
        self._inventory = inventory_pb2_grpc.InventoryServiceStub(ends["inventory"].channel)
        self._orders = orders_pb2_grpc.OrdersServiceStub(ends["orders"].channel)
        self._products = product_pb2_grpc.ProductServiceStub(ends["product"].channel)

    async def search(
        self, wanted: checkout_admin_pb2.CheckoutFilter, most: int, cursor: str | None
    ) -> checkout_admin_pb2.SearchCheckoutsResponse:
        """Return a page of the checkouts that pass. Invalid: the cursor is none of a page."""
        request = checkout_admin_pb2.SearchCheckoutsRequest(filter=wanted, most=most, cursor=cursor)
        found: checkout_admin_pb2.SearchCheckoutsResponse = await self._send(
            "checkout", self._admin.SearchCheckouts, request
        )
        return found

    async def find(self, text: str, most: int) -> list[checkout_pb2.Checkout]:
        """Return the checkouts that have this id, order id, key, request id, trace id or resource name."""
        request = checkout_admin_pb2.FindCheckoutsRequest(text=text, most=most)
        return list((await self._send("checkout", self._admin.FindCheckouts, request)).checkouts)

    async def inspect(self, checkout_id: str) -> checkout_admin_pb2.InspectCheckoutResponse:
        """Return a checkout, who drives it, and its event. NotFound: there is none of this id."""
        request = checkout_admin_pb2.InspectCheckoutRequest(checkout_id=checkout_id)
        found: checkout_admin_pb2.InspectCheckoutResponse = await self._send(
            "checkout", self._admin.InspectCheckout, request
        )
        return found

    async def cancel(self, checkout_id: str) -> checkout_pb2.Checkout:
        """Ask for the cancellation of a checkout. NotFound: there is none of this id."""
        request = checkout_admin_pb2.CancelCheckoutRequest(checkout_id=checkout_id)
        found: checkout_pb2.Checkout = (await self._send("checkout", self._admin.CancelCheckout, request)).checkout
        return found

    async def summarize(self, since_ms: int) -> checkout_admin_pb2.SummarizeCheckoutsResponse:
        """Return the figures of now, and what ended since then."""
        request = checkout_admin_pb2.SummarizeCheckoutsRequest(since_ms=since_ms)
        found: checkout_admin_pb2.SummarizeCheckoutsResponse = await self._send(
            "checkout", self._admin.SummarizeCheckouts, request
        )
        return found

    async def payment(self, checkout_id: str) -> payment_pb2.PaymentRecord:
        """Return the payment of a checkout. NotFound: it has none."""
        item = payment_pb2.GetPayment(checkout_id=checkout_id)
        found: payment_pb2.PaymentRecord = await self._one(
            "payment", self._payments.Get, payment_pb2.GetPaymentsRequest, item, "payment"
        )
        return found

    async def reservation(self, checkout_id: str) -> inventory_pb2.ReservationRecord:
        """Return the reservation of a checkout. NotFound: it has none."""
        item = inventory_pb2.ReservationRef(checkout_id=checkout_id)
        found: inventory_pb2.ReservationRecord = await self._one(
            "inventory", self._inventory.Get, inventory_pb2.ReservationsRequest, item, "reservation"
        )
        return found

    async def order(self, user_id: int, order_id: str) -> orders_pb2.Order:
        """Return an order. NotFound: it is not made, or not yet."""
        item = orders_pb2.GetOrder(user_id=user_id, order_id=order_id)
        found: orders_pb2.Order = await self._one(
            "orders", self._orders.GetOrders, orders_pb2.GetOrdersRequest, item, "order"
        )
        return found

    async def stock(self) -> inventory_pb2.ListStockResponse:
        """Return the stock of every product."""
        found: inventory_pb2.ListStockResponse = await self._send(
            "inventory", self._inventory.ListStock, inventory_pb2.ListStockRequest()
        )
        return found

    async def products(self) -> Mapping[int, product_pb2.Product]:
        """Return the catalogue, by product id."""
        reply = await self._send("product", self._products.ListProducts, product_pb2.ListProductsRequest())
        return {product.id: product for product in reply.products}

    async def changes(self) -> AsyncIterator[checkout_pb2.WatchCheckoutsResponse]:
        """Yield the changes of every checkout, until the service ends the stream; errors of grpc where it breaks."""
        async for change in self._checkouts.WatchCheckouts(checkout_pb2.WatchCheckoutsRequest()):
            yield change

    async def _send(self, name: str, method: Any, request: Any) -> Any:
        return await self._ends[name].send(method, request, within=SECONDS)

    async def _one(self, name: str, method: Any, request: Any, item: Any, value: str) -> Any:
        """Send a batch of one item, and return the value of its result."""
        stamp(item.call)
        reply = await self._send(name, method, request(items=[item]))
        [found] = outcomes(reply.results, attrgetter(value), expected=1)
        if isinstance(found, Fault):
            raise found
        return found


@asynccontextmanager
async def connected(config: Config, metrics: Metrics) -> AsyncIterator[tuple[Services, Mapping[str, Check]]]:
    """Yield the services at the addresses of the settings, and the readiness check of each."""
    addresses = {
        "checkout": config.checkout_addr,
        "payment": config.payment_addr,
        "inventory": config.inventory_addr,
        "orders": config.orders_addr,
        "product": config.product_addr,
    }
    async with AsyncExitStack() as stack:
        ends = {
            name: await stack.enter_async_context(Endpoint(name, address, metrics))
            for name, address in addresses.items()
        }
        yield Services(ends), {name: end.ready for name, end in ends.items()}


async def ask_part(part: str, asked: Awaitable[V]) -> Answer[V]:
    """Return what a part answered. A refusal other than NotFound is raised: it would be a mistake of the console's own."""
    try:
        return Answer(part, AnswerState.FOUND, await asked)
    except NotFound:
        return Answer(part, AnswerState.NONE)
    except (Transient, InternalError):
        return Answer(part, AnswerState.AWAY)


async def load_story(services: Services, checkout_id: str) -> Story:
    """Ask every service for what it holds of a checkout, and return its story. NotFound: there is none of this id."""
    inspected = await services.inspect(checkout_id)
    checkout = inspected.checkout
    payment, reservation, order = await asyncio.gather(
        ask_part("payment", services.payment(checkout.id)),
        ask_part("inventory", services.reservation(checkout.id)),
        ask_part("orders", services.order(checkout.user_id, checkout.order_id)),
    )
    return tell(Parts(inspected, payment, reservation, order))
