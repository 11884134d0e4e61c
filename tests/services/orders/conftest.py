"""Both places where orders can be kept: in memory, and in PostgreSQL."""

import uuid
from pathlib import Path

import pytest

from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.telemetry import Metrics
from tests.services.orders.memory import MemoryOrders

SCHEMA = "orders"


@pytest.fixture
def user():
    """Give a user who has no orders yet."""
    return uuid.uuid4().int % 2**62 + 1


@pytest.fixture
async def postgres_orders(stores):
    """Give the store in PostgreSQL."""
    from services.orders.store import PostgresOrders  # noqa: PLC0415 - beside its only use

    url = stores["POSTGRES_URL"]
    folder = Path(__file__).parents[3] / "services" / "orders" / "migrations"
    await migrate(url, schema=SCHEMA, folder=folder)
    async with Postgres(url, role=role_of(SCHEMA), schema=SCHEMA, size=4) as db:
        yield PostgresOrders(db, Metrics())


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real)])
def orders(request):
    """Give the store; PostgreSQL is asked for only where it is needed."""
    return MemoryOrders() if request.param == "memory" else request.getfixturevalue("postgres_orders")
