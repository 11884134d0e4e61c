"""Orders in PostgreSQL."""

import base64
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from services.chassis.batched_statement import BatchedStatement
from services.chassis.postgres import Postgres, Row
from services.chassis.telemetry import Metrics
from services.errors import Fault
from services.orders.domain import InvalidPage, Order, OrderLine, Page, PageRequest

_COLUMNS = "id, checkout_id, user_id, total_minor, currency, status, lines, created_at"
_PAGES = f"""
SELECT asked.page, o.* FROM unnest($1::bigint[], $2::timestamptz[], $3::uuid[], $4::int[])
    WITH ORDINALITY AS asked (user_id, before, below, most, page)
CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM orders WHERE user_id = asked.user_id AND (created_at, id) < (asked.before, asked.below)
    ORDER BY created_at DESC, id DESC LIMIT asked.most
) AS o ORDER BY asked.page, o.created_at DESC, o.id DESC"""  # noqa: S608 - constants
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PostgresOrders:
    """Implements the port Orders."""

    def __init__(self, db: Postgres, metrics: Metrics) -> None:
        self._db = db
        self._inserts: BatchedStatement[Sequence[Order], int] = BatchedStatement(
            "orders.insert", self._insert_all, metrics
        )

    async def add(self, orders: Sequence[Order]) -> int:
        """Insert the orders whose checkout has none yet; return how many were inserted.

        What the consumers of several partitions add at the same time goes as one statement.
        """
        return await self._inserts(orders)

    async def _insert_all(self, batches: Sequence[Sequence[Order]]) -> list[int]:
        orders = [order for batch in batches for order in batch]
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
        new = {str(row["id"]) for row in rows}
        counts: list[int] = []
        for batch in batches:
            mine = new & {order.id for order in batch}
            new -= mine  # an order that is in two batches is counted once
            counts.append(len(mine))
        return counts

    async def pages(self, asks: Sequence[PageRequest]) -> list[Page | Fault]:
        """Return a page, or InvalidPage, for each request, with one statement."""
        pages: list[Page | Fault | None] = [None] * len(asks)
        before: list[datetime] = []
        below: list[uuid.UUID] = []
        valid: list[int] = []  # positions
        for position, ask in enumerate(asks):
            try:
                moment, order_id = _decode_cursor(ask.cursor)
            except InvalidPage as fault:
                pages[position] = fault
            else:
                before.append(moment)
                below.append(order_id)
                valid.append(position)
        found: list[list[Order]] = [[] for _ in valid]
        if valid:
            users = [asks[position].user_id for position in valid]
            limits = [asks[position].limit + 1 for position in valid]
            for row in await self._db.fetch(_PAGES, users, before, below, limits):
                found[row["page"] - 1].append(_order(row))
        for position, orders in zip(valid, found, strict=True):
            shown = tuple(orders[: asks[position].limit])
            pages[position] = Page(shown, _encode_cursor(shown[-1]) if len(orders) > len(shown) else None)
        return [page for page in pages if page is not None]

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


def _decode_cursor(cursor: str | None) -> tuple[datetime, uuid.UUID]:
    """Return the time and id below which a page begins; InvalidPage if the cursor is not one that a page returned."""
    if cursor is None:
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
