"""Returns expired reservations to stock. What a running payment has pinned never expires.

Each reservation that is taken back is a span of the trace of its purchase. To find nothing makes no span.
"""

from collections.abc import Sequence
from typing import Protocol

from services.chassis import call, tracing
from services.chassis.telemetry import Metrics
from services.inventory.domain import Ages, ExpiredReservation, Pieces

BATCH = 100


class Expiring(Protocol):
    """Reservations that may have expired."""

    async def expire(self, limit: int) -> Sequence[ExpiredReservation]:
        """Release up to `limit` expired reservations, and return them."""

    async def ages(self) -> Ages:
        """Return how old the reservations are that hold stock."""

    async def pieces(self) -> Pieces:
        """Return how much stock there is, over all products."""


class Sweeper:
    """The sweeper worker."""

    def __init__(self, warehouse: Expiring, metrics: Metrics) -> None:
        self._warehouse = warehouse
        self._expired = metrics.counter("cartwright_reservations_expired_total", "Reservations that expired.")
        self._held = metrics.gauge("cartwright_reservation_oldest_held_seconds", "Age of the oldest held one.")
        self._pieces = metrics.gauge("cartwright_stock_pieces", "Stock, over all products.", ("state",))
        self._overdue = metrics.gauge(
            "cartwright_reservation_overdue_seconds",
            "How long ago the first reservation expired that still holds stock; alarming past 15 seconds.",
        )
        self._pinned = metrics.gauge(
            "cartwright_reservation_oldest_pinned_seconds", "Age of the oldest pinned one; alarming past 15 minutes."
        )

    async def run_once(self) -> int:
        """Return a batch of expired reservations, and return how many."""
        try:
            expired = await self._warehouse.expire(BATCH)
        finally:
            await self._report()  # also where stock cannot be returned: nothing else says so
        for one in expired:
            with (
                call.within(call.incoming("", one.traceparent, seconds=None)),
                tracing.resumed("reservation.expire", one.traceparent) as span,
            ):
                span.set("cartwright.checkout_id", one.checkout_id)
        self._expired.inc(len(expired))
        return len(expired)

    async def _report(self) -> None:
        ages = await self._warehouse.ages()
        self._held.set(ages.held)
        self._pinned.set(ages.pinned)
        self._overdue.set(ages.overdue)
        pieces = await self._warehouse.pieces()
        for state in ("available", "reserved", "sold"):
            self._pieces.labels(state).set(getattr(pieces, state))
