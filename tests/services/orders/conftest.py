"""Both places where orders can be kept: in memory, and in PostgreSQL."""

import uuid
from pathlib import Path

import pytest

from services.chassis.migrate import migrate, role_of
from services.chassis.postgres import Postgres
from services.chassis.telemetry import Metrics
from services.orders.domain import InvalidPage, Page

SCHEMA = "orders"


class MemoryOrders:
    """Fits the port Orders."""

    def __init__(self):
        self.kept = {}

    async def add(self, orders):
        new = 0
        for order in orders:
            known = {(kept.checkout_id) for kept in self.kept.values()}
            if order.id not in self.kept and order.checkout_id not in known:
                self.kept[order.id] = order
                new += 1
        return new

    async def pages(self, asks):
        return [self._page(ask) for ask in asks]

    def _page(self, ask):
        mine = sorted(
            (order for order in self.kept.values() if order.user_id == ask.user_id),
            key=lambda order: (order.created_at, order.id),
            reverse=True,
        )
        if ask.cursor is not None:
            if ask.cursor not in self.kept:
                return InvalidPage("the cursor is not one of ours")
            mine = mine[[order.id for order in mine].index(ask.cursor) + 1 :]
        page = tuple(mine[: ask.limit])
        return Page(page, page[-1].id if len(mine) > ask.limit else None)

    async def by_ids(self, asked):
        return {
            order_id: self.kept[order_id]
            for user_id, order_id in asked
            if order_id in self.kept and self.kept[order_id].user_id == user_id
        }


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
