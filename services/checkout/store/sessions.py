"""Looking checkouts up: by key, by id, and by what has changed."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.chassis.batched_statement import BatchedStatement
from services.chassis.postgres import Row
from services.checkout.domain import Lookup, Origin, Purchase, Session, UnknownCheckout
from services.checkout.store.rows import COLUMNS, Queries, purchase_of, session_of

_LOOKUP = f"""
WITH asked AS (SELECT * FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS a (buyer, key, ord))
SELECT ord, true AS found, {COLUMNS} FROM asked JOIN checkout_sessions
    ON user_id = buyer AND origin = 'rest' AND idempotency_key = key
UNION ALL
SELECT ord, false, {COLUMNS} FROM asked JOIN checkout_sessions
    ON user_id = buyer AND source = 'cart' AND status = 'COMPLETED' AND cart_cleared_version IS NULL"""  # noqa: S608 - constants

_FIND = f"""
WITH asked AS (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS a (buyer, kind, key, ord))
SELECT ord, {COLUMNS} FROM asked JOIN checkout_sessions
    ON user_id = buyer AND origin = kind AND idempotency_key = key"""  # noqa: S608 - constants

_GET = f"""
WITH asked AS (SELECT * FROM unnest($1::bigint[], $2::uuid[]) WITH ORDINALITY AS a (buyer, checkout_id, ord))
SELECT ord, {COLUMNS} FROM asked JOIN checkout_sessions ON id = checkout_id AND user_id = buyer"""  # noqa: S608 - constants

LOOK_BACK = "5 s"  # longer than a statement and its commit can last

# statement_timestamp() is the same throughout a statement, so that an index can serve what is compared with it. With
# clock_timestamp() the whole table would be read.
_RECENT = f"""
SELECT {COLUMNS} FROM checkout_sessions
WHERE origin = $1 AND (status = 'PROCESSING' OR changed_at > statement_timestamp() - make_interval(secs => $2))
    AND ($4::uuid IS NULL OR (created_at, id) > (SELECT created_at, id FROM checkout_sessions WHERE id = $4))
ORDER BY created_at, id LIMIT $3"""  # noqa: S608 - constants

_CHANGED = f"""
SELECT id, version, changed_at FROM checkout_sessions
WHERE changed_at >= coalesce($1, statement_timestamp()) - interval '{LOOK_BACK}' ORDER BY changed_at"""  # noqa: S608 - constants


class SessionQueries(Queries):
    """Reads rows; it changes nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lookups: BatchedStatement[tuple[int, str], Lookup] = BatchedStatement(
            "checkout.lookup", self._lookup_all, self._metrics, turns=self._turns
        )
        self._finds: BatchedStatement[tuple[int, Origin, str], Session | None] = BatchedStatement(
            "checkout.find", self._find_all, self._metrics
        )
        self._gets: BatchedStatement[tuple[int, str], Session | None] = BatchedStatement(
            "checkout.get", self._get_all, self._metrics
        )

    async def lookup(self, user_id: int, key: str) -> Lookup:
        """Return the checkout of a REST key, and the user's purchases that are not known to be gone from the cart."""
        return await self._lookups((user_id, key))

    async def _lookup_all(self, asked: Sequence[tuple[int, str]]) -> list[Lookup]:
        rows = await self._db.fetch(_LOOKUP, [user_id for user_id, _ in asked], [key for _, key in asked])
        sessions: dict[int, Session] = {}
        uncleared: dict[int, list[Purchase]] = {}
        for row in rows:
            if row["found"]:
                sessions[row["ord"]] = session_of(row)
            else:
                uncleared.setdefault(row["ord"], []).append(purchase_of(row))
        return [Lookup(sessions.get(ord_), tuple(uncleared.get(ord_, ()))) for ord_ in range(1, len(asked) + 1)]

    async def find(self, user_id: int, origin: Origin, key: str) -> Session | None:
        """Return the checkout of a key; None when the key has none."""
        return await self._finds((user_id, origin, key))

    async def _find_all(self, asked: Sequence[tuple[int, Origin, str]]) -> list[Session | None]:
        return _in_order(await self._db.fetch(_FIND, *map(list, zip(*asked, strict=True))), len(asked))

    async def get(self, user_id: int, checkout_id: str) -> Session | None:
        """Return a user's checkout; None when there is none, as for an id that is no UUID."""
        return await self._gets((user_id, checkout_id)) if _is_uuid(checkout_id) else None

    async def _get_all(self, asked: Sequence[tuple[int, str]]) -> list[Session | None]:
        return _in_order(await self._db.fetch(_GET, *map(list, zip(*asked, strict=True))), len(asked))

    async def load(self, checkout_id: str) -> Session:
        """Read a row; UnknownCheckout when there is none."""
        rows = await self._db.fetch(f"SELECT {COLUMNS} FROM checkout_sessions WHERE id = $1", checkout_id)  # noqa: S608 - constants
        if not rows:
            raise UnknownCheckout
        return session_of(rows[0])

    async def load_many(self, checkout_ids: Sequence[str]) -> list[Session]:
        """Return those checkouts that exist."""
        rows = await self._db.fetch(
            f"SELECT {COLUMNS} FROM checkout_sessions WHERE id = ANY($1::uuid[]) ORDER BY changed_at",  # noqa: S608 - constants
            list(checkout_ids),
        )
        return [session_of(row) for row in rows]

    async def recent(self, origin: Origin, ended_within: float, limit: int, after: str | None = None) -> list[Session]:
        """Return those of an origin that run, or that ended within so many seconds, oldest first; only those after `after`."""
        rows = await self._db.fetch(_RECENT, origin, ended_within, limit, after)
        return [session_of(row) for row in rows]

    async def changed_since(self, cursor: datetime | None) -> list[tuple[str, int, datetime]]:
        """Return (id, version, changed at) from a little before `cursor` on; without one, from a little before now on."""
        rows = await self._db.fetch(_CHANGED, cursor)
        return [(str(row["id"]), row["version"], row["changed_at"]) for row in rows]

    async def oldest_running_seconds(self) -> float:
        """Return the age of the oldest checkout that has not ended, in seconds; 0 when none runs."""
        rows = await self._db.fetch(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age"
            " FROM checkout_sessions WHERE status = 'PROCESSING'"
        )
        return float(rows[0]["age"])


def _in_order(rows: Sequence[Row], asked: int) -> list[Session | None]:
    """Return the session of each of those asked for, of which the rows have the numbers from 1 on; None where there is none."""
    found = {row["ord"]: session_of(row) for row in rows}
    return [found.get(number) for number in range(1, asked + 1)]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
