"""Reads the books of the database `ecommerce`: checkouts, payments, reservations, stock, orders and the outbox.

They are in one database, so that the rows of a set of checkouts are read in one snapshot, and agree or do not agree at one
moment. Every read is bounded: a page of a primary key, or the rows of so many ids. The role may read these columns and nothing
else (the migrations `*_auditor*.sql`).
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from services.auditor.books import Book, Checkout, Event, Line, Order, Payment, Reservation, Started, Stock
from services.auditor.ports import Mark, Rows
from services.auditor.reading import reading
from services.chassis.postgres import Postgres
from services.chassis.postgres_pool import Connection
from services.errors import Fault

STOCK_SECONDS = 30.0
"""How long the sums over all reservations may take."""
_COLUMNS = """id::text, user_id, source, status, version, total_amount, currency, order_id::text AS order_id,
    snapshot::text AS lines, completed_at, cart_version, cart_cleared_version"""
_CHECKOUT = f"SELECT {_COLUMNS} FROM checkout.checkout_sessions WHERE id = ANY ($1::uuid[])"  # noqa: S608 - constants
_STARTED = f"""SELECT {_COLUMNS}, key, uid FROM checkout.started_by_resources JOIN checkout.checkout_sessions USING (id)
    WHERE (buyer, key) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))"""  # noqa: S608 - constants
_PAYMENT = """SELECT checkout_id, user_id, amount_minor, currency, state, coalesce(decided_at, created_at) AS at
    FROM payment.payments WHERE checkout_id = ANY ($1::text[])"""
_RESERVATION = """SELECT checkout_id, state, changed_at AS at, (SELECT coalesce(json_agg(json_build_array(product_id, quantity)
    ORDER BY product_id), '[]')::text FROM inventory.reservation_line AS line
    WHERE line.checkout_id = reservation.checkout_id) AS lines
    FROM inventory.reservation WHERE checkout_id = ANY ($1::text[])"""
_ORDER = """SELECT id::text, checkout_id, user_id, total_minor, currency, lines::text AS lines, created_at AS at
    FROM orders.orders WHERE checkout_id = ANY ($1::text[])"""
_EVENT = """SELECT id, event_id::text AS event_id, aggregate_id::text AS checkout_id, payload->>'userId' AS user_id,
    payload->>'orderId' AS order_id, payload->>'totalMinor' AS total, created_at, processed_at, dead_at
    FROM checkout.outbox_events"""
_STOCK = """SELECT product_id, received, available, reserved, sold, coalesce(held, 0)::bigint AS lines_held,
    coalesce(gone, 0)::bigint AS lines_sold, coalesce(delivered, 0)::bigint AS delivered
    FROM inventory.stock LEFT JOIN (
        SELECT product_id, sum(quantity) FILTER (WHERE state IN ('HELD', 'PINNED')) AS held,
            sum(quantity) FILTER (WHERE state = 'CONFIRMED') AS gone
        FROM inventory.reservation_line JOIN inventory.reservation USING (checkout_id) GROUP BY product_id
    ) AS lines USING (product_id) LEFT JOIN (
        SELECT product_id, sum(quantity) AS delivered FROM inventory.restock GROUP BY product_id
    ) AS deliveries USING (product_id)"""
_CHANGED = """SELECT id::text, changed_at FROM checkout.checkout_sessions
    WHERE changed_at >= $1 AND (changed_at, id) > ($1, $2::uuid) AND changed_at <= $3 ORDER BY changed_at, id LIMIT $4"""
_PAGES = {
    Book.CHECKOUTS: "SELECT id::text FROM checkout.checkout_sessions WHERE id > $1::text::uuid ORDER BY id LIMIT $2",
    Book.PAYMENTS: "SELECT checkout_id AS id FROM payment.payments WHERE checkout_id > $1 ORDER BY 1 LIMIT $2",
    Book.RESERVATIONS: "SELECT checkout_id AS id FROM inventory.reservation WHERE checkout_id > $1 ORDER BY 1 LIMIT $2",
    Book.ORDERS: "SELECT checkout_id AS id FROM orders.orders WHERE checkout_id > $1 ORDER BY 1 LIMIT $2",
}


class _Line(msgspec.Struct):
    product_id: int
    quantity: int
    unit_price_minor: int
    line_id: str | None = None


class Shop:
    """Fits the port ShopBooks."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def now(self) -> datetime:
        """Return the time of the database."""
        with _reading(Book.CHECKOUTS):
            [row] = await self._db.fetch("SELECT clock_timestamp() AS now")
        at: datetime = row["now"]
        return at

    async def changed(self, mark: Mark, until: datetime, most: int) -> tuple[list[str], Mark]:
        """Return the ids of up to `most` checkouts that changed after the mark and until then, and the next mark."""
        with _reading(Book.CHECKOUTS):
            rows = await self._db.fetch(_CHANGED, mark.at, mark.checkout_id, until, most)
        ids = [row["id"] for row in rows]
        return ids, Mark(rows[-1]["changed_at"], ids[-1]) if len(ids) == most else Mark(until)

    async def page(self, book: Book, after: str, most: int) -> list[str]:
        """Return up to `most` checkout ids of a book that come after this one."""
        with _reading(book):
            return [row["id"] for row in await self._db.fetch(_PAGES[book], after, most)]

    async def announced(self, after: int, most: int) -> list[tuple[int, Event]]:
        """Return up to `most` events of the outbox with their ids, in the order of those, which come after this one."""
        with _reading(Book.OUTBOX):
            rows = await self._db.fetch(f"{_EVENT} WHERE id > $1 ORDER BY id LIMIT $2", after, most)
        return [(row["id"], _event(row)) for row in rows]

    async def without_checkout(self, ids: Sequence[str]) -> list[str]:
        """Return those ids of which there is no checkout."""
        with _reading(Book.CHECKOUTS):
            rows = await self._db.fetch(
                "SELECT id::text FROM checkout.checkout_sessions WHERE id = ANY ($1::uuid[])", _uuids(ids)
            )
        known = {row["id"] for row in rows}
        return [one for one in ids if one not in known]

    async def checkouts(self, ids: Sequence[str]) -> dict[str, Checkout]:
        """Return the checkouts that exist, by id."""
        with _reading(Book.CHECKOUTS):
            return {row["id"]: _checkout(row) for row in await self._db.fetch(_CHECKOUT, _uuids(ids))}

    async def started(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], Started]:
        """Return the checkouts that resources started, by user and key."""
        users, texts = [user_id for user_id, _ in keys], [key for _, key in keys]
        with _reading(Book.CHECKOUTS):
            rows = await self._db.fetch(_STARTED, users, texts)
        return {(row["user_id"], row["key"]): Started(_checkout(row), row["uid"]) for row in rows}

    async def rows(self, ids: Sequence[str]) -> Rows:
        """Return what every book of this database holds of these checkouts, at one moment."""
        with _reading(Book.CHECKOUTS):
            async with self._db.snapshot() as snapshot:
                return await _rows(snapshot, ids)

    async def stock(self) -> list[Stock]:
        """Return the stock of every product, with what the reservations and the deliveries say of it."""
        with _reading(Book.STOCK):
            async with self._db.snapshot(STOCK_SECONDS) as snapshot:
                return [Stock(**dict(row)) for row in await snapshot.fetch(_STOCK, timeout=STOCK_SECONDS)]


async def _rows(snapshot: Connection, ids: Sequence[str]) -> Rows:
    uuids, texts = _uuids(ids), list(ids)
    events: dict[str, list[Event]] = {}
    with _reading(Book.CHECKOUTS):
        checkouts = [_checkout(row) for row in await snapshot.fetch(_CHECKOUT, uuids)]
    with _reading(Book.PAYMENTS):
        payments = [Payment(**dict(row)) for row in await snapshot.fetch(_PAYMENT, texts)]
    with _reading(Book.RESERVATIONS):
        reservations = [_reservation(row) for row in await snapshot.fetch(_RESERVATION, texts)]
    with _reading(Book.ORDERS):
        orders = [_order(row) for row in await snapshot.fetch(_ORDER, texts)]
    with _reading(Book.OUTBOX):
        for row in await snapshot.fetch(f"{_EVENT} WHERE aggregate_id = ANY ($1::uuid[]) ORDER BY id", uuids):
            events.setdefault(row["checkout_id"], []).append(_event(row))
    return Rows(
        {one.id: one for one in checkouts},
        {one.checkout_id: one for one in payments},
        {one.checkout_id: one for one in reservations},
        {one.checkout_id: one for one in orders},
        events,
    )


@contextmanager
def _reading(book: Book) -> Iterator[None]:
    with reading(book, Fault, asyncpg.PostgresError):
        yield


def _uuids(ids: Sequence[str]) -> list[str]:
    """Return those that can be the id of a checkout: what others wrote into a book need not be."""
    return [one for one in ids if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one)]


def _lines(text: str) -> tuple[Line, ...]:
    """Read lines; none where the text has no lines of ours, which then differ from those of another book."""
    try:
        lines = msgspec.json.decode(text, type=tuple[_Line, ...])
    except msgspec.DecodeError:
        return ()
    return tuple(Line(one.product_id, one.quantity, one.unit_price_minor, one.line_id or "") for one in lines)


def _checkout(row: Any) -> Checkout:
    return Checkout(
        id=row["id"],
        user_id=row["user_id"],
        source=row["source"],
        status=row["status"],
        version=row["version"],
        total_minor=row["total_amount"],
        currency=row["currency"],
        order_id=row["order_id"],
        lines=_lines(row["lines"]),
        ended_at=row["completed_at"],
        cart_version=row["cart_version"],
        cleared_version=row["cart_cleared_version"],
    )


def _reservation(row: Any) -> Reservation:
    lines = msgspec.json.decode(row["lines"], type=tuple[tuple[int, int], ...])
    return Reservation(row["checkout_id"], row["state"], lines, row["at"])


def _order(row: Any) -> Order:
    return Order(**dict(row) | {"lines": _lines(row["lines"])})


def _event(row: Any) -> Event:
    return Event(
        event_id=row["event_id"],
        checkout_id=row["checkout_id"],
        user_id=_number(row["user_id"]),
        order_id=row["order_id"] or "",
        total_minor=_number(row["total"]),
        created_at=row["created_at"],
        sent_at=row["processed_at"],
        dead_at=row["dead_at"],
    )


def _number(text: str | None) -> int:
    """Read a 64-bit number of proto3 JSON, which leaves out a zero; -1 where it is none."""
    return int(text) if text and text.isdecimal() else 0 if text is None else -1
