"""Reading orders."""

from collections.abc import Sequence
from typing import Protocol

from services.errors import Fault
from services.orders.domain import Order, Page, PageRequest, UnknownOrder


class Orders(Protocol):
    """Where orders are kept."""

    async def add(self, orders: Sequence[Order]) -> int:
        """Add the orders whose checkout has none yet; return how many were added."""

    async def pages(self, asks: Sequence[PageRequest]) -> list[Page | Fault]:
        """Return a page for each request, or InvalidPage if its cursor is invalid."""

    async def by_ids(self, asked: Sequence[tuple[int, str]]) -> dict[str, Order]:
        """Return the orders that exist, of the given (user id, order id), by order id."""


class OrderQueries:
    """Reads the orders of all users. Users see only their own."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    async def list_orders(self, asks: Sequence[PageRequest]) -> list[Page | Fault]:
        """Return a page, or InvalidPage, for each request."""
        return await self._orders.pages(asks)

    async def get_orders(self, asked: Sequence[tuple[int, str]]) -> list[Order | Fault]:
        """Return the order of each (user id, order id), or UnknownOrder if the user has no such order."""
        found = await self._orders.by_ids(asked)
        return [_owned(found.get(order_id), user_id) for user_id, order_id in asked]


def _owned(order: Order | None, user_id: int) -> Order | UnknownOrder:
    """Return the order only to its owner: one batch may hold requests of many users."""
    return order if order is not None and order.user_id == user_id else UnknownOrder()
