"""Stand-ins of the four services that the gateway calls; they speak real gRPC."""
# ruff: noqa: N802 - methods have the names of the proto

import asyncio

from services.cart.domain import BadQuantity, NotInCart, UnknownProduct
from services.chassis import call
from services.chassis.batched_request import batch
from services.checkout.domain import AnotherRunning, MissingProduct, UnknownCheckout, UnknownProducts
from services.errors import Fault
from services.orders.domain import UnknownOrder
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

FIRST_WAIT_MS = 250
"""How long who asks for a checkout first lets it hold up others."""
ASKED_AGAIN = "StartCheckouts again"
"""The gate of the calls of those who ask for their checkouts again."""
ORDER_ID = "7c1e0000-0000-4000-8000-000000000001"
STORED = b'{"checkout_id":"c1", "status":"COMPLETED"}'  # with a blank that no encoder of ours writes
LAPTOP = product_pb2.Product(
    id=1, name="Laptop", description="fast", price_minor=129999, currency="USD", created_at_ms=1_700_000_000_000
)


class Backend(
    product_pb2_grpc.ProductServiceServicer,
    cart_pb2_grpc.CartServiceServicer,
    orders_pb2_grpc.OrdersServiceServicer,
    checkout_pb2_grpc.CheckoutServiceServicer,
):
    """Stand-ins that remember what they were asked; `broken` names a method, and the fault or error it raises."""

    def __init__(self):
        self.broken = {}
        self.refusals = {}
        """By method: the fault that each of its items is refused with."""
        self.asked = []
        self.calls = []
        self.carts = {}
        self.answer = checkout_pb2.Answer(checkout_id="c1", status=checkout_pb2.COMPLETED, body=STORED)
        self.starts = []
        """What the next items of StartCheckouts are answered with; `answer` once there are no more."""
        self.running = ""
        self.gone = []
        self.laptop = LAPTOP
        self.gates = {}
        """By method: what its calls wait for once they have done what they do."""

    async def _all(self, method, request, result, one):
        self.asked.append((method, list(request.items)))
        self.calls.append(call.current())
        if method in self.broken:
            raise self.broken[method]

        async def act(items):
            if method in self.refusals:
                return [self.refusals[method] for _ in items]
            return [self._safely(one, item) for item in items]

        made = await batch(request.items, parse=lambda item: item, act=act, render=lambda made: made, refused=result)
        await self._gate(method)
        return made

    async def _gate(self, method):
        if method in self.gates:
            await self.gates[method].wait()

    def items(self, method):
        """Give the items of each call of a method so far."""
        return [items for name, items in self.asked if name == method]

    async def reached(self, method, calls=1, items=1):
        """Wait until a method has been called so often, with so many items in all."""
        async with asyncio.timeout(10):
            while len(self.items(method)) < calls or sum(map(len, self.items(method))) < items:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.005)

    @staticmethod
    def _safely(one, item):
        try:
            return one(item)
        except Fault as fault:
            return fault

    async def ListProducts(self, request, context):
        self.asked.append(("ListProducts", []))
        if "ListProducts" in self.broken:
            raise self.broken["ListProducts"]
        found = self.laptop
        await self._gate("ListProducts")
        return product_pb2.ListProductsResponse(products=[found])

    async def GetProducts(self, request, context):
        def one(item):
            if item.product_id != LAPTOP.id:
                raise UnknownProduct
            return product_pb2.GetProductResult(product=LAPTOP)

        results = await self._all("GetProducts", request, product_pb2.GetProductResult, one)
        return product_pb2.GetProductsResponse(results=results)

    def _cart(self, user_id):
        lines = [
            cart_pb2.CartLine(line_id=str(i), product_id=i, product_name="Laptop", unit_price_minor=129999, quantity=n)
            if i == LAPTOP.id
            else cart_pb2.CartLine(
                line_id=str(i), product_id=i, product_name="Typewriter", quantity=n, unavailable=True
            )
            for i, n in self.carts.get(user_id, {}).items()
        ]
        if not lines:
            return cart_pb2.CartResult(cart=cart_pb2.Cart(user_id=user_id))
        return cart_pb2.CartResult(
            cart=cart_pb2.Cart(cart_id="507f", user_id=user_id, lines=lines, updated_at_ms=1_700_000_000_000)
        )

    async def _carts(self, method, request, one):
        return cart_pb2.CartsResponse(results=await self._all(method, request, cart_pb2.CartResult, one))

    async def GetCarts(self, request, context):
        return await self._carts("GetCarts", request, lambda item: self._cart(item.user_id))

    def _put(self, item, quantity):
        if not 1 <= quantity <= 99:
            raise BadQuantity
        self.carts.setdefault(item.user_id, {})[item.product_id] = quantity
        return self._cart(item.user_id)

    async def AddItems(self, request, context):
        def one(item):
            if item.product_id != LAPTOP.id:
                raise UnknownProduct
            return self._put(item, self.carts.get(item.user_id, {}).get(item.product_id, 0) + item.quantity)

        return await self._carts("AddItems", request, one)

    def _there(self, item):
        if item.product_id not in self.carts.get(item.user_id, {}):
            raise NotInCart

    async def SetQuantities(self, request, context):
        def one(item):
            self._there(item)
            return self._put(item, item.quantity)

        return await self._carts("SetQuantities", request, one)

    async def RemoveItems(self, request, context):
        def one(item):
            self._there(item)
            del self.carts[item.user_id][item.product_id]
            return self._cart(item.user_id)

        return await self._carts("RemoveItems", request, one)

    async def ClearCarts(self, request, context):
        def one(item):
            self.carts.pop(item.user_id, None)
            return self._cart(item.user_id)

        return await self._carts("ClearCarts", request, one)

    async def StartCheckouts(self, request, context):
        def one(item):
            if self.running:
                raise AnotherRunning(self.running)
            if self.gone:
                raise UnknownProducts([MissingProduct(9, "Typewriter")])
            return self.starts.pop(0) if self.starts else checkout_pb2.StartCheckoutResult(answer=self.answer)

        results = await self._all("StartCheckouts", request, checkout_pb2.StartCheckoutResult, one)
        for result in results:
            result.running_checkout_id = self.running
            result.unknown_products.extend(self.gone)
        if all(item.wait_ms > FIRST_WAIT_MS for item in request.items):
            await self._gate(ASKED_AGAIN)
        return checkout_pb2.StartCheckoutsResponse(results=results)

    async def GetCheckouts(self, request, context):
        def one(item):
            if (item.user_id, item.checkout_id) not in {(1, "c1"), (1, "done")}:
                raise UnknownCheckout
            status = checkout_pb2.COMPLETED if item.checkout_id == "done" else checkout_pb2.PROCESSING
            steps = [checkout_pb2.StepRecord(name="claim", state="done", attempts=1, started_at_ms=1, finished_at_ms=2)]
            line = checkout_pb2.Line(product_id=1, product_name="Laptop", quantity=1, unit_price_minor=129999)
            return checkout_pb2.GetCheckoutResult(
                checkout=checkout_pb2.Checkout(
                    id=item.checkout_id, user_id=1, status=status, step="reserve", total_minor=129999,
                    currency="USD", lines=[line], steps=steps, created_at_ms=1, order_id=ORDER_ID,
                )
            )  # fmt: skip

        results = await self._all("GetCheckouts", request, checkout_pb2.GetCheckoutResult, one)
        return checkout_pb2.GetCheckoutsResponse(results=results)

    @staticmethod
    def _order():
        line = orders_pb2.OrderLine(product_id=1, product_name="Laptop", quantity=2, unit_price_minor=129999)
        return orders_pb2.Order(
            id=ORDER_ID, checkout_id="c1", user_id=1, total_minor=259998, currency="USD", status="CONFIRMED",
            lines=[line], created_at_ms=1_700_000_000_000,
        )  # fmt: skip

    async def ListOrders(self, request, context):
        def one(item):
            orders = [self._order()] if item.user_id == 1 else []
            return orders_pb2.ListOrdersResult(page=orders_pb2.OrderPage(orders=orders, next_cursor="more"))

        results = await self._all("ListOrders", request, orders_pb2.ListOrdersResult, one)
        return orders_pb2.ListOrdersResponse(results=results)

    async def GetOrders(self, request, context):
        def one(item):
            if (item.user_id, item.order_id) != (1, ORDER_ID):
                raise UnknownOrder
            return orders_pb2.GetOrderResult(order=self._order())

        results = await self._all("GetOrders", request, orders_pb2.GetOrderResult, one)
        return orders_pb2.GetOrdersResponse(results=results)
