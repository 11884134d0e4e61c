"""The gateway over real HTTP, before stand-ins of the four services that speak real gRPC, and an issuer of tokens."""
# ruff: noqa: N802 - methods have the names of the proto

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict

from services.chassis import call
from services.chassis.batched_request import batch
from services.chassis.client import Endpoint
from services.chassis.malformed import Runner
from services.chassis.rpc import Server
from services.chassis.telemetry import Metrics
from services.chassis.web import Readiness, close_when_draining, health_routes
from services.errors import Conflict, Invalid, NotFound
from services.gateway.auth import users
from services.gateway.clients import Services
from services.gateway.config import Config
from services.gateway.cors import origins
from services.gateway.edge import Edge
from services.gateway.main import application
from services.gateway.routes import Routes
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
from tests.issuer import AUDIENCE, LocalIssuer

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
        except (Invalid, NotFound, Conflict) as fault:
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
                raise NotFound("product not found")
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
            raise Invalid("quantity must be between 1 and 99")
        self.carts.setdefault(item.user_id, {})[item.product_id] = quantity
        return self._cart(item.user_id)

    async def AddItems(self, request, context):
        def one(item):
            if item.product_id != LAPTOP.id:
                raise NotFound("product not found")
            return self._put(item, self.carts.get(item.user_id, {}).get(item.product_id, 0) + item.quantity)

        return await self._carts("AddItems", request, one)

    def _there(self, item):
        if item.product_id not in self.carts.get(item.user_id, {}):
            raise NotFound("item not found in cart")

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
                raise Conflict("another checkout of this cart is running")
            if self.gone:
                raise Conflict("not in the catalogue: Typewriter (product 9)")
            return self.starts.pop(0) if self.starts else checkout_pb2.StartCheckoutResult(answer=self.answer)

        results = await self._all("StartCheckouts", request, checkout_pb2.StartCheckoutResult, one)
        for result in results:
            result.running_checkout_id = self.running
            result.unknown_products.extend(self.gone)
        return checkout_pb2.StartCheckoutsResponse(results=results)

    async def GetCheckouts(self, request, context):
        def one(item):
            if (item.user_id, item.checkout_id) not in {(1, "c1"), (1, "done")}:
                raise NotFound("checkout not found")
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
                raise NotFound("order not found")
            return orders_pb2.GetOrderResult(order=self._order())

        results = await self._all("GetOrders", request, orders_pb2.GetOrderResult, one)
        return orders_pb2.GetOrdersResponse(results=results)


class GatewayServer(TestServer):
    """Serves an application as the gateway does."""

    def __init__(self, app, metrics):
        super().__init__(app)
        self.metrics = metrics

    async def _make_runner(self, **_):
        return Runner(self.app, self.metrics)


async def send_raw(gateway, first, rest=b"", *, leave=False, body=True):
    """Send bytes over a connection of their own, and give version, status, headers and body of the answer.

    Without `body` the answer has none, and what comes after its headers is given as `following`.

    `rest` is sent once a request is under way. With `leave` the client then closes the connection, and nothing is given.
    """
    server = gateway.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(first)
        if rest or leave:
            async with asyncio.timeout(8):
                while not any(one.is_busy for one in server.runner.server.connections):  # noqa: ASYNC110 - no event tells of it
                    await asyncio.sleep(0.001)
        if leave:
            return None
        writer.write(rest)
        async with asyncio.timeout(8):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
            headers = CIMultiDict(line.split(": ", 1) for line in head[1:])
            content = await reader.readexactly(int(headers.get("Content-Length", 0))) if body else b""
            following = b"" if body else await reader.readuntil(b"\r\n\r\n")
        version, status, _ = head[0].split(" ", 2)
        return SimpleNamespace(version=version, status=int(status), headers=headers, body=content, following=following)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.fixture
def backend():
    return Backend()


@asynccontextmanager
async def serving(backend, env, clock=time.monotonic):
    """Serve the gateway with these settings; give a client of it, with the application and its metrics beside it."""
    log, metrics = structlog.get_logger(), Metrics()
    async with AsyncExitStack() as stack:
        config = Config.from_env(env)
        who = await stack.enter_async_context(users(config, log, metrics, clock))
        server = Server(log, Metrics(), reflect=False)
        register = {
            "product": lambda it: product_pb2_grpc.add_ProductServiceServicer_to_server(backend, it),
            "cart": lambda it: cart_pb2_grpc.add_CartServiceServicer_to_server(backend, it),
            "orders": lambda it: orders_pb2_grpc.add_OrdersServiceServicer_to_server(backend, it),
            "checkout": lambda it: checkout_pb2_grpc.add_CheckoutServiceServicer_to_server(backend, it),
        }
        port = await server.start("127.0.0.1:0", register)
        stack.push_async_callback(server.stop, 1)
        ends = {
            name: await stack.enter_async_context(Endpoint(name, f"127.0.0.1:{port}", metrics)) for name in register
        }
        edge = Edge(
            who.of,
            log,
            metrics,
            origins(config.cors_origins),
            sample_reads=config.log_sample_reads,
            max_under_way=config.max_under_way,
        )
        services = Services(**ends, metrics=metrics)
        app = application(edge, Routes(services))
        readiness = Readiness()
        readiness.state = "serving"
        readiness.checks.update(who.checks)
        app.add_routes(health_routes(readiness, metrics))
        app.on_response_prepare.append(close_when_draining(readiness))
        client = await stack.enter_async_context(TestClient(GatewayServer(app, metrics)))
        yield SimpleNamespace(client=client, app=app, metrics=metrics, services=services, readiness=readiness)


@pytest.fixture
async def gateway(backend):
    """Give the gateway of a laptop."""
    async with serving(backend, {"AUTH_MODE": "mock", "APP_ENV": "dev"}) as it:
        yield it


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def issuer():
    """Give an issuer that answers."""
    local = LocalIssuer()
    yield local
    local.stop()


@pytest.fixture
def jwt_settings(issuer):
    """Give the settings that make tokens of that issuer count."""
    return {"AUTH_MODE": "jwt", "APP_ENV": "dev", "AUTH_ISSUER": issuer.url, "AUTH_AUDIENCE": AUDIENCE}


@pytest.fixture
async def secured(backend, jwt_settings, clock):
    """Give the gateway where tokens are needed; its keys grow older by `clock`."""
    async with serving(backend, jwt_settings, clock) as it:
        yield it
