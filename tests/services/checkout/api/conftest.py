"""The checkout service over gRPC, on the real store."""

import asyncio

import grpc
import pytest
import structlog

from services.chassis.rpc import Server
from services.chassis.run import wait
from services.chassis.telemetry import Metrics
from services.checkout.api import SERVICE, CheckoutApi
from services.checkout.changes import follow
from services.checkout.store import PostgresSessions
from services.checkout.usecases import Checkouts
from services.pb import checkout_pb2_grpc


@pytest.fixture
def sessions(db):
    """The store."""
    return PostgresSessions(db, Metrics(), owner="me", timeout=300)


@pytest.fixture
def stopping():
    """What tells the service to stop."""
    return asyncio.Event()


@pytest.fixture
async def address(sessions, stopping):
    """Serve the real store; nobody drives what is accepted, so that it stays where it is put."""

    async def leave(session):
        return session

    checkouts = Checkouts(sessions, None, leave, notify=None)
    api = CheckoutApi(checkouts, sessions, lambda: follow(sessions, stopping, wait))
    server = Server(structlog.get_logger(), Metrics(), reflect=False)
    register = {SERVICE: lambda to: checkout_pb2_grpc.add_CheckoutServiceServicer_to_server(api, to)}
    port = await server.start("127.0.0.1:0", register)
    yield f"127.0.0.1:{port}"
    stopping.set()
    await server.stop(5)


@pytest.fixture
async def stub(address):
    """The service, as a caller has it."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield checkout_pb2_grpc.CheckoutServiceStub(channel)
