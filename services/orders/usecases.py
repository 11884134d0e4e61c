"""Making orders and reading them."""

from collections.abc import Sequence
from typing import Protocol

from services.errors import Fault
from services.orders.domain import Ask, Order, Page, UnknownOrder


class Orders(Protocol):
    """Where orders are kept."""

    async def add(self, orders: Sequence[Order]) -> int:
        """Add those whose checkout has none yet, and give how many were new."""

    async def pages(self, asks: Sequence[Ask]) -> list[Page | Fault]:
        """Give a page for each ask; BadPage for a cursor that is not ours."""

    async def by_ids(self, asked: Sequence[tuple[int, str]]) -> dict[str, Order]:
        """Give those of (user id, order id) that exist, by order id."""


class OrderBook:
    """The orders of all users; each sees only their own."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    async def list_orders(self, asks: Sequence[Ask]) -> list[Page | Fault]:
        """Give a page for each ask."""
        return await self._orders.pages(asks)

    async def get_orders(self, asked: Sequence[tuple[int, str]]) -> list[Order | Fault]:
        """Give each order, or that this user has none of that id."""
        found = await self._orders.by_ids(asked)
        return [_owned(found.get(order_id), user_id) for user_id, order_id in asked]


def _owned(order: Order | None, user_id: int) -> Order | UnknownOrder:
    """Give the order to its owner alone: a batch may hold the calls of many users."""
    return order if order is not None and order.user_id == user_id else UnknownOrder()
