"""Stock in PostgreSQL: every call is one statement, a function that goes through its items in a fixed order."""

from collections.abc import Sequence

import msgspec

from services.chassis.postgres import Postgres, Row
from services.errors import Fault, Invalid
from services.inventory.domain import (
    Ages,
    Delivery,
    ExpiredReservation,
    NotHeld,
    OtherLines,
    Pieces,
    Reservation,
    ReservationRecord,
    ReservationRequest,
    State,
    Stock,
    UnknownReservation,
)

OLDEST = """
    SELECT extract(epoch FROM clock_timestamp() - coalesce(held.since, clock_timestamp()))::float AS held,
        extract(epoch FROM clock_timestamp() - coalesce(pinned.since, clock_timestamp()))::float AS pinned,
        greatest(extract(epoch FROM clock_timestamp() - coalesce(held.expired, clock_timestamp())), 0)::float AS overdue
    FROM (SELECT min(changed_at) AS since, min(expires_at) AS expired FROM reservation WHERE state = 'HELD') AS held,
        (SELECT min(changed_at) AS since FROM reservation WHERE state = 'PINNED') AS pinned"""
"""Each state is asked for by itself, since each has an index of its own."""


class PostgresWarehouse:
    """Fits the ports Warehouse and Expiring."""

    def __init__(self, db: Postgres, *, ttl: float) -> None:
        """Take the database and how many seconds a reservation holds."""
        self._db = db
        self._ttl = ttl

    async def reserve(self, requests: Sequence[ReservationRequest]) -> list[Reservation | Fault]:
        """Hold all lines of each request, or none."""
        rows = await self._db.fetch(
            "SELECT * FROM reserve($1, make_interval(secs => $2)) ORDER BY ord",
            msgspec.json.encode(requests).decode(),
            self._ttl,
        )
        return [
            Reservation(request.checkout_id, State(row["state"]), row["product_id"] or None)
            if row["same"]
            else OtherLines()
            for request, row in zip(requests, rows, strict=True)
        ]

    async def pin(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Remove the expiry of reservations."""
        return await self._call("pin", checkout_ids, {State.PINNED, State.CONFIRMED})

    async def confirm(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Sell what is held or pinned."""
        return await self._call("confirm", checkout_ids, {State.CONFIRMED})

    async def release(self, checkout_ids: Sequence[str]) -> list[Reservation | Fault]:
        """Release what is held; without a reservation insert a tombstone."""
        return await self._call("release", checkout_ids, {State.RELEASED, State.EXPIRED})

    async def restock(self, deliveries: Sequence[Delivery]) -> list[Stock | Fault]:
        """Add received stock, once per restock id."""
        rows = await self._db.fetch(
            "SELECT * FROM take_delivery($1::text[], $2::bigint[], $3::bigint[]) ORDER BY ord",
            [delivery.restock_id for delivery in deliveries],
            [delivery.product_id for delivery in deliveries],
            [delivery.quantity for delivery in deliveries],
        )
        return [
            Stock(row["product_id"], row["available"], row["reserved"], row["sold"])
            if row["available"] is not None
            else Invalid("product not found")
            for row in rows
        ]

    async def records(self, checkout_ids: Sequence[str]) -> list[ReservationRecord | Fault]:
        """Return the reservation of each checkout as it is stored."""
        rows = await self._db.fetch(
            "SELECT checkout_id, state, created_at, changed_at, expires_at, (SELECT coalesce(json_agg(json_build_array("
            "product_id, quantity) ORDER BY product_id), '[]')::text FROM reservation_line AS line"
            " WHERE line.checkout_id = reservation.checkout_id) AS lines"
            " FROM reservation WHERE checkout_id = ANY ($1::text[])",
            list(checkout_ids),
        )
        found = {row["checkout_id"]: _record(row) for row in rows}
        return [found.get(checkout_id) or UnknownReservation() for checkout_id in checkout_ids]

    async def list_stock(self) -> list[Stock]:
        """Return the stock of every product."""
        rows = await self._db.fetch("SELECT product_id, available, reserved, sold FROM stock ORDER BY product_id")
        return [Stock(row["product_id"], row["available"], row["reserved"], row["sold"]) for row in rows]

    async def expire(self, limit: int) -> list[ExpiredReservation]:
        """Return expired reservations to stock."""
        rows = await self._db.fetch("SELECT checkout_id, traceparent FROM take_back_expired($1)", limit)
        return [ExpiredReservation(row["checkout_id"], row["traceparent"]) for row in rows]

    async def ages(self) -> Ages:
        """Return how old the reservations are that hold stock."""
        row = (await self._db.fetch(OLDEST))[0]
        return Ages(row["held"], row["pinned"], row["overdue"])

    async def pieces(self) -> Pieces:
        """Return how much stock there is, over all products."""
        row = (
            await self._db.fetch(
                "SELECT coalesce(sum(available), 0)::bigint AS available, coalesce(sum(reserved), 0)::bigint AS reserved,"
                " coalesce(sum(sold), 0)::bigint AS sold FROM stock"
            )
        )[0]
        return Pieces(row["available"], row["reserved"], row["sold"])

    async def _call(self, function: str, ids: Sequence[str], good: set[State]) -> list[Reservation | Fault]:
        rows: list[Row] = await self._db.fetch(f"SELECT * FROM {function}($1::text[]) ORDER BY ord", list(ids))  # noqa: S608 - our own names
        return [
            Reservation(checkout_id, State(row["state"]))
            if row["state"] in good
            else NotHeld(checkout_id, row["state"])
            for checkout_id, row in zip(ids, rows, strict=True)
        ]


def _record(row: Row) -> ReservationRecord:
    return ReservationRecord(
        checkout_id=row["checkout_id"],
        state=State(row["state"]),
        lines=msgspec.json.decode(row["lines"], type=tuple[tuple[int, int], ...]),
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        expires_at=row["expires_at"] if row["state"] == State.HELD else None,
    )
