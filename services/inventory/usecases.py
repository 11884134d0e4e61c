"""Holding, pinning, selling and returning stock."""

from collections.abc import Sequence
from typing import Protocol

from services.errors import Fault
from services.inventory.domain import Delivery, Reservation, Stock, Want


class Warehouse(Protocol):
    """Where stock and reservations are kept. Each call is one transaction; an item that is refused fails alone."""

    async def reserve(self, wants: Sequence[Want]) -> list[Reservation | Fault]:
        """Hold all lines of each wish, or none; a repeat answers the state that is there."""

    async def pin(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Take the expiry off; NotHeld once it has expired or was released."""

    async def confirm(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Sell what is held or pinned; NotHeld where it is not."""

    async def release(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Return what is held; leave a tombstone where nothing is; NotHeld when it is sold."""

    async def restock(self, deliveries: Sequence[Delivery]) -> list[Stock | Fault]:
        """Add received stock, once per restock id."""
