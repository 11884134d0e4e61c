"""Calls the services behind the gateway. A read is repeated once if a service did not answer; a write never is.

What is asked for while a call of a method is under way rides in the next one, so under load one call serves many requests.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from services.chassis.batch import Batcher, Limits
from services.chassis.batched_call import BatchedCall
from services.chassis.client import Endpoint, method_name
from services.chassis.longest_first import LongestFirst
from services.chassis.resilience import Retrier
from services.chassis.telemetry import Metrics
from services.gateway.catalogue import Catalogue, catalogue
from services.gateway.starts import Starts
from services.pb import (
    cart_pb2,
    cart_pb2_grpc,
    checkout_pb2,
    checkout_pb2_grpc,
    orders_pb2,
    orders_pb2_grpc,
    product_pb2,
    product_pb2_grpc,
)

READ_SECONDS, WRITE_SECONDS = 2.0, 3.0
BATCH, WAITING, CALLS = 64, 256, 2
"""Of one method: items in a call, requests that may wait, and calls under way. Together they are 384 requests: less than may
be under way in the gateway (MAX_UNDER_WAY), so that a method that hangs does not take the others with it."""

_by_user = attrgetter("user_id")


class Services:
    """The calls that the gateway makes.

    They raise the fault that a service refuses with; Unavailable: it was not done; OutcomeUnknown: no answer came.
    """

    def __init__(
        self, product: Endpoint, cart: Endpoint, orders: Endpoint, checkout: Endpoint, metrics: Metrics
    ) -> None:
        self._product = product
        self._retry = {end.name: Retrier(end.name, metrics, attempts=2) for end in (product, cart, orders, checkout)}
        products = product_pb2_grpc.ProductServiceStub(product.channel)
        self._list_products = products.ListProducts
        checkouts = checkout_pb2_grpc.CheckoutServiceStub(checkout.channel)
        self._starts = Starts(checkout, checkouts.StartCheckouts, metrics)
        # Readers of the catalogue cost its call nothing, so all who wait ride in the next one.
        self._catalogue: Batcher[None, Catalogue] = Batcher(
            f"{product.name}.{method_name(products.ListProducts)}",
            self._read_catalogue,
            metrics,
            limits=Limits(batch=WAITING, waiting=WAITING, under_way=1, wait_seconds=2 * READ_SECONDS),
        )
        self._get_products: BatchedCall[product_pb2.Product] = self._reads(
            product, products.GetProducts, product_pb2.GetProductsRequest, "product", owner=None
        )
        carts = cart_pb2_grpc.CartServiceStub(cart.channel)
        self._get_carts: BatchedCall[cart_pb2.Cart] = self._reads(
            cart, carts.GetCarts, cart_pb2.GetCartsRequest, "cart"
        )
        turns = LongestFirst()
        self._add_items = _cart_writes(cart, carts.AddItems, cart_pb2.AddItemsRequest, turns)
        self._set_quantities = _cart_writes(cart, carts.SetQuantities, cart_pb2.SetQuantitiesRequest, turns)
        self._remove_items = _cart_writes(cart, carts.RemoveItems, cart_pb2.RemoveItemsRequest, turns)
        self._clear_carts = _cart_writes(cart, carts.ClearCarts, cart_pb2.ClearCartsRequest, turns)
        orders_stub = orders_pb2_grpc.OrdersServiceStub(orders.channel)
        self._list_orders: BatchedCall[orders_pb2.OrderPage] = self._reads(
            orders, orders_stub.ListOrders, orders_pb2.ListOrdersRequest, "page"
        )
        self._get_orders: BatchedCall[orders_pb2.Order] = self._reads(
            orders, orders_stub.GetOrders, orders_pb2.GetOrdersRequest, "order"
        )
        self._get_checkouts: BatchedCall[checkout_pb2.Checkout] = self._reads(
            checkout,
            checkouts.GetCheckouts,
            checkout_pb2.GetCheckoutsRequest,
            "checkout",
        )

    async def products(self) -> Catalogue:
        """Return the whole catalogue, as the product service gave it after this was asked."""
        return await self._catalogue.ask(None)

    async def product(self, product_id: int) -> product_pb2.Product:
        """Return one product."""
        return await self._get_products(product_pb2.GetProduct(product_id=product_id))

    async def cart(self, user_id: int) -> cart_pb2.Cart:
        """Return a user's cart."""
        return await self._get_carts(cart_pb2.GetCart(user_id=user_id))

    async def add(self, user_id: int, product_id: int, quantity: int) -> cart_pb2.Cart:
        """Add a product to the cart."""
        return await self._add_items(cart_pb2.AddItem(user_id=user_id, product_id=product_id, quantity=quantity))

    async def set_quantity(self, user_id: int, product_id: int, quantity: int) -> cart_pb2.Cart:
        """Set the quantity of a line."""
        item = cart_pb2.SetQuantity(user_id=user_id, product_id=product_id, quantity=quantity)
        return await self._set_quantities(item)

    async def remove(self, user_id: int, product_id: int) -> cart_pb2.Cart:
        """Remove a line."""
        return await self._remove_items(cart_pb2.RemoveItem(user_id=user_id, product_id=product_id))

    async def clear(self, user_id: int) -> cart_pb2.Cart:
        """Remove every line."""
        return await self._clear_carts(cart_pb2.ClearCart(user_id=user_id))

    async def start_checkout(self, user_id: int, key: str) -> checkout_pb2.StartCheckoutResult:
        """Start, join or replay a checkout. A refusal is in the result."""
        return await self._starts(user_id, key)

    async def checkout(self, user_id: int, checkout_id: str) -> checkout_pb2.Checkout:
        """Return a user's checkout."""
        return await self._get_checkouts(checkout_pb2.GetCheckout(user_id=user_id, checkout_id=checkout_id))

    async def orders(self, user_id: int, limit: int, cursor: str) -> orders_pb2.OrderPage:
        """Return a page of a user's orders."""
        return await self._list_orders(orders_pb2.ListOrders(user_id=user_id, limit=limit, cursor=cursor))

    async def order(self, user_id: int, order_id: str) -> orders_pb2.Order:
        """Return a user's order."""
        return await self._get_orders(orders_pb2.GetOrder(user_id=user_id, order_id=order_id))

    async def _read_catalogue(self, readers: Sequence[None]) -> Sequence[Catalogue]:
        """Read the catalogue once, for all readers."""
        request = product_pb2.ListProductsRequest()
        reply = await self._retry[self._product.name](
            lambda: self._product.send(self._list_products, request, within=READ_SECONDS)
        )
        return [catalogue(reply.products)] * len(readers)

    def _reads(
        self,
        end: Endpoint,
        method: Any,
        request: Callable[..., Any],
        value: str,
        *,
        owner: Callable[[Any], int] | None = _by_user,
    ) -> BatchedCall[Any]:
        """Return a call that is repeated once if it is not answered. `value` is the field of a result that holds it."""
        limits = Limits(batch=BATCH, waiting=WAITING, under_way=CALLS, wait_seconds=2 * READ_SECONDS)
        return BatchedCall(
            end,
            method,
            request,
            attrgetter(value),
            within=READ_SECONDS,
            limits=limits,
            owner=owner,
            retry=self._retry[end.name],
        )


def _cart_writes(
    end: Endpoint, method: Any, request: Callable[..., Any], turns: LongestFirst
) -> BatchedCall[cart_pb2.Cart]:
    """Return a call that changes carts. Two writes of one user go one after the other, in their order.

    Writes take turns: those that come while one is committed share the next commit.
    """
    limits = Limits(batch=BATCH, waiting=WAITING, under_way=CALLS, wait_seconds=WRITE_SECONDS)
    return BatchedCall(
        end,
        method,
        request,
        attrgetter("cart"),
        within=WRITE_SECONDS,
        limits=limits,
        key=_by_user,
        owner=_by_user,
        turns=turns,
    )
