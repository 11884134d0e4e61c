"""Orders in PostgreSQL."""

import asyncio
import base64
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from services.chassis.postgres import Postgres, Row
from services.errors import Fault
from services.orders.domain import InvalidPage, Order, OrderLine, Page, PageRequest

_COLUMNS = "id, checkout_id, user_id, total_minor, currency, status, lines, created_at"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PostgresOrders:
    """Implements the port Orders."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def add(self, orders: Sequence[Order]) -> int:
        """Insert the orders whose checkout has none yet, in one statement; return how many were inserted."""
        rows = await self._db.fetch(
            "INSERT INTO orders (id, checkout_id, user_id, total_minor, currency, lines, created_at)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::jsonb[],"
            " $7::timestamptz[]) ON CONFLICT DO NOTHING RETURNING id",
            [order.id for order in orders],
            [order.checkout_id for order in orders],
            [order.user_id for order in orders],
            [order.total_minor for order in orders],
            [order.currency for order in orders],
            [msgspec.json.encode(order.lines).decode() for order in orders],
            [order.created_at for order in orders],
        )
        return len(rows)

    async def pages(self, asks: Sequence[PageRequest]) -> list[Page | Fault]:
        """Return a page, or InvalidPage, for each request."""

        async def page(ask: PageRequest) -> Page | Fault:
            try:
                before, below = _decode_cursor(ask.cursor)
            except InvalidPage as fault:
                return fault
            rows = await self._db.fetch(
                f"SELECT {_COLUMNS} FROM orders WHERE user_id = $1 AND (created_at, id) < ($2, $3)"  # noqa: S608 - constants
                " ORDER BY created_at DESC, id DESC LIMIT $4",
                ask.user_id,
                before,
                below,
                ask.limit + 1,
            )
            orders = tuple(_order(row) for row in rows[: ask.limit])
            return Page(orders, _encode_cursor(orders[-1]) if len(rows) > ask.limit else "")

        return list(await asyncio.gather(*(page(ask) for ask in asks)))

    async def by_ids(self, asked: Sequence[tuple[int, str]]) -> dict[str, Order]:
        """Return the orders that exist, of the given (user id, order id), by order id."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM orders WHERE (user_id, id) IN"  # noqa: S608 - constants
            " (SELECT * FROM unnest($1::bigint[], $2::uuid[]))",
            [user_id for user_id, _ in asked],
            [order_id for _, order_id in asked],
        )
        return {str(row["id"]): _order(row) for row in rows}


def _encode_cursor(last: Order) -> str:
    micros = (last.created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}.{last.id}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[datetime, uuid.UUID]:
    """Return the time and id below which a page begins; InvalidPage if the cursor is not one that a page returned."""
    if not cursor:
        return datetime.max.replace(tzinfo=UTC), uuid.UUID(int=2**128 - 1)
    try:
        micros, _, order_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".")
        return _EPOCH + timedelta(microseconds=int(micros)), uuid.UUID(order_id)
    except (ValueError, OverflowError) as error:
        raise InvalidPage("the cursor is invalid") from error


def _order(row: Row) -> Order:
    return Order(
        id=str(row["id"]),
        checkout_id=row["checkout_id"],
        user_id=row["user_id"],
        total_minor=row["total_minor"],
        currency=row["currency"],
        status=row["status"],
        lines=msgspec.json.decode(row["lines"], type=tuple[OrderLine, ...]),
        created_at=row["created_at"],
    )
