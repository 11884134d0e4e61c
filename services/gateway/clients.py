"""Calls the services behind the gateway. A read is repeated once if a service did not answer; a write never is."""

from collections.abc import Awaitable, Callable
from typing import Any

from services.chassis.client import Endpoint, outcomes, stamp
from services.chassis.resilience import Retrier
from services.chassis.telemetry import Metrics
from services.errors import Fault
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

READ_SECONDS, WRITE_SECONDS = 1.0, 3.0
CHECKOUT_SECONDS = 4.8

Method = Callable[..., Awaitable[Any]]


class Services:
    """The calls that the gateway makes. Each is a batch of one item."""

    def __init__(
        self, product: Endpoint, cart: Endpoint, orders: Endpoint, checkout: Endpoint, metrics: Metrics
    ) -> None:
        self._ends = {"product": product, "cart": cart, "orders": orders, "checkout": checkout}
        self._retry = {name: Retrier(name, metrics, attempts=2) for name in self._ends}
        self._product = product_pb2_grpc.ProductServiceStub(product.channel)
        self._cart = cart_pb2_grpc.CartServiceStub(cart.channel)
        self._orders = orders_pb2_grpc.OrdersServiceStub(orders.channel)
        self._checkout = checkout_pb2_grpc.CheckoutServiceStub(checkout.channel)

    async def products(self) -> list[product_pb2.Product]:
        """Return the whole catalogue."""
        request = product_pb2.ListProductsRequest()
        reply = await self._retry["product"](
            lambda: self._ends["product"].send(self._product.ListProducts, request, within=READ_SECONDS)
        )
        found: list[product_pb2.Product] = list(reply.products)
        return found

    async def product(self, product_id: int) -> product_pb2.Product:
        """Return one product."""
        item = product_pb2.GetProduct(product_id=product_id)
        request = product_pb2.GetProductsRequest(items=[item])
        result = await self._read("product", self._product.GetProducts, request)
        found: product_pb2.Product = result.product
        return found

    async def cart(self, user_id: int) -> cart_pb2.Cart:
        """Return a user's cart."""
        request = cart_pb2.GetCartsRequest(items=[cart_pb2.GetCart(user_id=user_id)])
        result = await self._read("cart", self._cart.GetCarts, request)
        found: cart_pb2.Cart = result.cart
        return found

    async def add(self, user_id: int, product_id: int, quantity: int) -> cart_pb2.Cart:
        """Add a product to the cart."""
        item = cart_pb2.AddItem(user_id=user_id, product_id=product_id, quantity=quantity)
        return await self._write_cart(self._cart.AddItems, cart_pb2.AddItemsRequest(items=[item]))

    async def set_quantity(self, user_id: int, product_id: int, quantity: int) -> cart_pb2.Cart:
        """Set the quantity of a line."""
        item = cart_pb2.SetQuantity(user_id=user_id, product_id=product_id, quantity=quantity)
        return await self._write_cart(self._cart.SetQuantities, cart_pb2.SetQuantitiesRequest(items=[item]))

    async def remove(self, user_id: int, product_id: int) -> cart_pb2.Cart:
        """Remove a line."""
        item = cart_pb2.RemoveItem(user_id=user_id, product_id=product_id)
        return await self._write_cart(self._cart.RemoveItems, cart_pb2.RemoveItemsRequest(items=[item]))

    async def clear(self, user_id: int) -> cart_pb2.Cart:
        """Remove every line."""
        item = cart_pb2.ClearCart(user_id=user_id)
        return await self._write_cart(self._cart.ClearCarts, cart_pb2.ClearCartsRequest(items=[item]))

    async def start_checkout(self, user_id: int, key: str) -> checkout_pb2.StartCheckoutResult:
        """Start, join or replay a checkout. A refusal is in the result."""
        item = checkout_pb2.StartCheckout(user_id=user_id, origin=checkout_pb2.REST, idempotency_key=key)
        stamp(item.call)
        request = checkout_pb2.StartCheckoutsRequest(items=[item])
        reply = await self._ends["checkout"].send(self._checkout.StartCheckouts, request, within=CHECKOUT_SECONDS)
        result: checkout_pb2.StartCheckoutResult = reply.results[0]
        return result

    async def checkout(self, user_id: int, checkout_id: str) -> checkout_pb2.Checkout:
        """Return a user's checkout."""
        item = checkout_pb2.GetCheckout(user_id=user_id, checkout_id=checkout_id)
        request = checkout_pb2.GetCheckoutsRequest(items=[item])
        result = await self._read("checkout", self._checkout.GetCheckouts, request)
        found: checkout_pb2.Checkout = result.checkout
        return found

    async def orders(self, user_id: int, limit: int, cursor: str) -> orders_pb2.OrderPage:
        """Return a page of a user's orders."""
        item = orders_pb2.ListOrders(user_id=user_id, limit=limit, cursor=cursor)
        request = orders_pb2.ListOrdersRequest(items=[item])
        result = await self._read("orders", self._orders.ListOrders, request)
        found: orders_pb2.OrderPage = result.page
        return found

    async def order(self, user_id: int, order_id: str) -> orders_pb2.Order:
        """Return a user's order."""
        item = orders_pb2.GetOrder(user_id=user_id, order_id=order_id)
        request = orders_pb2.GetOrdersRequest(items=[item])
        result = await self._read("orders", self._orders.GetOrders, request)
        found: orders_pb2.Order = result.order
        return found

    async def _read(self, name: str, method: Method, request: Any) -> Any:
        return await self._retry[name](lambda: self._send(name, method, request, READ_SECONDS))

    async def _write_cart(self, method: Method, request: Any) -> cart_pb2.Cart:
        result = await self._send("cart", method, request, WRITE_SECONDS)
        cart: cart_pb2.Cart = result.cart
        return cart

    async def _send(self, name: str, method: Method, request: Any, seconds: float) -> Any:
        """Send a batch of one, and give its result; its refusal is raised."""
        stamp(request.items[0].call)
        reply = await self._ends[name].send(method, request, within=seconds)
        result = outcomes(reply.results, lambda good: good, expected=1)[0]
        if isinstance(result, Fault):
            raise result
        return result
