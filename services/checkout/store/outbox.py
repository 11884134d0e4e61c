"""The outbox in PostgreSQL, as the relay reads it. Events are written with the step that they tell of (`steps`)."""

from collections.abc import Sequence

import msgspec

from services.chassis.postgres import Postgres
from services.checkout.event import Event

KEEP_DAYS = 7

# With clock_timestamp(), which may differ from row to row, the index of what was published could not be used.
_SWEEP = """
DELETE FROM outbox_events WHERE id IN (
    SELECT id FROM outbox_events WHERE processed_at < statement_timestamp() - make_interval(days => $1)
    ORDER BY processed_at LIMIT $2)
RETURNING id"""


class PostgresOutbox:
    """Fits the port Outbox."""

    def __init__(self, db: Postgres, *, owner: str) -> None:
        """Take the database, and the name of this process as a leader."""
        self._db = db
        self._owner = owner

    async def lead(self, seconds: float) -> bool:
        """Take or renew the lease of the leadership for so many seconds; return whether this process leads."""
        rows = await self._db.fetch(
            "UPDATE outbox_leader SET epoch = epoch + (owner <> $1)::int, owner = $1,"
            " until = clock_timestamp() + make_interval(secs => $2)"
            " WHERE owner = $1 OR until < clock_timestamp() RETURNING epoch",
            self._owner,
            seconds,
        )
        return bool(rows)

    async def resign(self) -> None:
        """Give the leadership up, so that another relay need not wait until the lease ends."""
        await self._db.fetch("UPDATE outbox_leader SET until = '-infinity' WHERE owner = $1", self._owner)

    async def waiting(self, limit: int) -> tuple[list[Event], int, float]:
        """Return up to `limit` events that wait, oldest first; how many wait in all; and the age of the oldest in seconds."""
        rows = await self._db.fetch(
            "SELECT id, partition_key, payload::text, headers::text, count(*) OVER () AS depth,"
            " extract(epoch FROM clock_timestamp() - min(created_at) OVER ())::float AS age FROM outbox_events"
            " WHERE processed_at IS NULL AND dead_at IS NULL ORDER BY id LIMIT $1",
            limit,
        )
        events = [
            Event(row["id"], row["partition_key"], row["payload"].encode(), msgspec.json.decode(row["headers"]))
            for row in rows
        ]
        return (events, rows[0]["depth"], rows[0]["age"]) if rows else ([], 0, 0.0)

    async def mark(self, ids: Sequence[int]) -> None:
        """Note that events were published."""
        await self._db.fetch(
            "UPDATE outbox_events SET processed_at = clock_timestamp(), attempts = attempts + 1"
            " WHERE id = ANY($1::bigint[]) AND processed_at IS NULL",
            list(ids),
        )

    async def failed(self, event_id: int, error: str, attempts: int) -> bool:
        """Count a failed attempt of an event; return whether it is given up, which it is after `attempts`."""
        rows = await self._db.fetch(
            "UPDATE outbox_events SET attempts = attempts + 1, last_error = $2,"
            " dead_at = CASE WHEN attempts + 1 >= $3 THEN clock_timestamp() END WHERE id = $1 RETURNING dead_at",
            event_id,
            error,
            attempts,
        )
        return bool(rows) and rows[0]["dead_at"] is not None

    async def sweep(self, limit: int) -> int:
        """Delete up to `limit` events that were published more than KEEP_DAYS ago, and return how many."""
        rows = await self._db.fetch(_SWEEP, KEEP_DAYS, limit)
        return len(rows)
