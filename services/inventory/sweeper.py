"""Returns expired reservations to stock. What a running payment has pinned never expires."""

from typing import Protocol

from services.chassis.telemetry import Metrics

BATCH = 100


class Expiring(Protocol):
    """Reservations that may have expired."""

    async def expire(self, limit: int) -> int:
        """Release up to `limit` expired reservations, and return how many."""

    async def ages(self) -> tuple[float, float]:
        """Return the age of the oldest HELD and of the oldest PINNED reservation, in seconds."""


class Sweeper:
    """The sweeper worker."""

    def __init__(self, warehouse: Expiring, metrics: Metrics) -> None:
        self._warehouse = warehouse
        self._expired = metrics.counter("cartwright_reservations_expired_total", "Reservations that expired.")
        self._held = metrics.gauge("cartwright_reservation_oldest_held_seconds", "Age of the oldest held one.")
        self._pinned = metrics.gauge(
            "cartwright_reservation_oldest_pinned_seconds", "Age of the oldest pinned one; alarming past 15 minutes."
        )

    async def run_once(self) -> int:
        """Return a batch of expired reservations, and return how many."""
        expired = await self._warehouse.expire(BATCH)
        self._expired.inc(expired)
        held, pinned = await self._warehouse.ages()
        self._held.set(held)
        self._pinned.set(pinned)
        return expired
