"""Payments in PostgreSQL. Every state is also written to an append-only ledger."""

from collections.abc import Sequence

from services.chassis.postgres import Postgres, Row
from services.payment.domain import ChargeRequest, Payment, State

_COLUMNS = "checkout_id, user_id, amount_minor, currency, state, provider_ref"

# The payments are read afterwards: an insert of the same checkout may have been committed meanwhile by another process.
_INSERT = """
WITH new AS (
    INSERT INTO payments (checkout_id, user_id, amount_minor, currency, state, decided_at, next_attempt_at)
    SELECT DISTINCT ON (1) *, CASE WHEN $5 <> 'INTENT' THEN clock_timestamp() END,
        clock_timestamp() + make_interval(secs => $6)
    FROM (SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::text[]), $5::text) AS w
    ORDER BY 1 ON CONFLICT (checkout_id) DO UPDATE SET attempts = payments.attempts + 1
    RETURNING checkout_id, state, attempts
)
INSERT INTO payment_events (checkout_id, state) SELECT checkout_id, state FROM new WHERE attempts = 1"""


class PostgresPayments:
    """Fits the port Payments, and the resolver's."""

    def __init__(self, db: Postgres, *, resolve_after: float) -> None:
        """Take the database, and the seconds without an outcome after which the resolver charges again."""
        self._db = db
        self._resolve_after = resolve_after

    async def insert_intents(self, requests: Sequence[ChargeRequest]) -> list[Payment]:
        """Insert an intent where there is no payment; `attempts` counts the repeats."""
        await self._insert(
            [request.checkout_id for request in requests],
            [request.user_id for request in requests],
            [request.amount_minor for request in requests],
            [request.currency for request in requests],
            State.INTENT,
        )
        return await self._read([request.checkout_id for request in requests])

    async def insert_tombstones(self, checkout_ids: Sequence[str]) -> list[Payment]:
        """Insert a tombstone where there is no payment."""
        count = len(checkout_ids)
        await self._insert(list(checkout_ids), [0] * count, [0] * count, [""] * count, State.CANCELLED)
        return await self._read(checkout_ids)

    async def decide(self, checkout_id: str, state: State, provider_ref: str) -> Payment:
        """Move an INTENT to a final state; a payment that is already final stays as it is."""
        await self._db.fetch(
            "WITH decided AS (UPDATE payments SET state = $2, provider_ref = $3, decided_at = clock_timestamp()"
            " WHERE checkout_id = $1 AND state = 'INTENT' RETURNING checkout_id, state)"
            " INSERT INTO payment_events (checkout_id, state) SELECT * FROM decided",
            checkout_id,
            state,
            provider_ref,
        )
        return (await self._read([checkout_id]))[0]

    async def take_undecided(self, limit: int) -> list[Payment]:
        """Return up to `limit` payments that are due for another attempt, and schedule the attempt after it."""
        rows = await self._db.fetch(
            f"UPDATE payments SET attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval("  # noqa: S608 - constants
            " secs => least(60, $2 * power(2, least(attempts, 10)))) WHERE checkout_id IN (SELECT checkout_id"
            " FROM payments WHERE state = 'INTENT' AND next_attempt_at <= clock_timestamp()"
            f" ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}",
            limit,
            self._resolve_after / 2,
        )
        return [_payment(row) for row in rows]

    async def oldest_undecided_seconds(self) -> float:
        """Return the age of the oldest undecided payment, in seconds; 0 when there is none."""
        rows = await self._db.fetch(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age"
            " FROM payments WHERE state = 'INTENT'"
        )
        return float(rows[0]["age"])

    async def _insert(
        self, ids: list[str], users: list[int], amounts: list[int], currencies: list[str], state: State
    ) -> None:
        await self._db.fetch(_INSERT, ids, users, amounts, currencies, state, self._resolve_after)

    async def _read(self, checkout_ids: Sequence[str]) -> list[Payment]:
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM payments WHERE checkout_id = ANY($1::text[])",  # noqa: S608 - constants
            list(checkout_ids),
        )
        found = {row["checkout_id"]: _payment(row) for row in rows}
        return [found[checkout_id] for checkout_id in checkout_ids]


def _payment(row: Row) -> Payment:
    return Payment(**dict(row) | {"state": State(row["state"])})
