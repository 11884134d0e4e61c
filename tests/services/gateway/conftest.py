"""The gateway over real HTTP, before stand-ins of the four services that speak real gRPC, and an issuer of tokens."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDict

from services.chassis.client import Endpoint
from services.chassis.malformed import Runner
from services.chassis.rpc import Server
from services.chassis.telemetry import Metrics
from services.chassis.web import Readiness, close_when_draining, health_routes
from services.gateway.auth import users
from services.gateway.clients import Services
from services.gateway.config import Config
from services.gateway.cors import origins
from services.gateway.main import application, edge
from services.gateway.routes import Routes
from services.pb import cart_pb2_grpc, checkout_pb2_grpc, orders_pb2_grpc, product_pb2_grpc
from tests.issuer import AUDIENCE
from tests.services.gateway.alike import MOCK, ORIGIN
from tests.services.gateway.backend import Backend


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
        around = edge(config, who.of, origins(config.cors_origins), log, metrics)
        services = Services(**ends, metrics=metrics)
        app = application(around, Routes(services))
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


@pytest.fixture
async def open_gateway(backend):
    """Give a gateway whose answers other origins may read, and in which every read is logged."""
    async with serving(backend, MOCK | {"CORS_ORIGINS": ORIGIN}) as it:
        yield it


@pytest.fixture
def jwt_settings(issuer):
    """Give the settings that make tokens of that issuer count."""
    return {"AUTH_MODE": "jwt", "APP_ENV": "dev", "AUTH_ISSUER": issuer.url, "AUTH_AUDIENCE": AUDIENCE}


@pytest.fixture
async def secured(backend, jwt_settings, clock):
    """Give the gateway where tokens are needed; its keys grow older by `clock`."""
    async with serving(backend, jwt_settings, clock) as it:
        yield it
