"""Holding, pinning, selling and returning stock."""

from collections.abc import Sequence
from typing import Protocol

from services.errors import Fault
from services.inventory.domain import Delivery, Reservation, ReservationRecord, ReservationRequest, Stock


class Warehouse(Protocol):
    """The store of stock and reservations. Each call is one transaction; an item that is refused fails alone."""

    async def reserve(self, requests: Sequence[ReservationRequest]) -> list[Reservation | Fault]:
        """Hold all lines of each request, or none; a repeat returns the reservation as it is, pinned where it asks for that."""

    async def pin(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Remove the expiry; NotHeld once the reservation has expired or was released."""

    async def confirm(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Sell what is held or pinned; NotHeld for a reservation that is neither."""

    async def release(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Release what is held; without a reservation insert a tombstone; NotHeld when the stock is sold."""

    async def restock(self, deliveries: Sequence[Delivery]) -> list[Stock | Fault]:
        """Add received stock, once per restock id."""

    async def records(self, checkout_ids: Sequence[str]) -> list[ReservationRecord | Fault]:
        """Return the reservation of each checkout as it is stored, or UnknownReservation."""

    async def list_stock(self) -> list[Stock]:
        """Return the stock of every product, by its id."""
