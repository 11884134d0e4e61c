"""Payments in PostgreSQL. Every state is also written to an append-only ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.batched_statement import BatchedStatement
from services.chassis.longest_first import LongestFirst
from services.chassis.postgres import Postgres, Row
from services.chassis.telemetry import Metrics
from services.payment.domain import ChargeRequest, Payment, PaymentRecord, State, UndecidedPayment

_COLUMNS = "checkout_id, user_id, amount_minor, currency, state, provider_ref"

# A conflict is an update, so that the row that another process has committed meanwhile is locked, and returned as it is.
_INSERT = f"""
WITH new AS (
    INSERT INTO payments (checkout_id, user_id, amount_minor, currency, traceparent, state, decided_at, next_attempt_at)
    SELECT DISTINCT ON (1) *, CASE WHEN $6 <> 'INTENT' THEN clock_timestamp() END,
        clock_timestamp() + make_interval(secs => $7)
    FROM (
        SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::text[]), $6::text
    ) AS w
    ORDER BY 1 ON CONFLICT (checkout_id) DO UPDATE SET attempts = payments.attempts + 1
    RETURNING {_COLUMNS}, attempts
), events AS (
    INSERT INTO payment_events (checkout_id, state) SELECT checkout_id, state FROM new WHERE attempts = 1
)
SELECT {_COLUMNS} FROM new"""  # noqa: S608 - constants

# Rows are locked in the order of their ids, so that two statements cannot wait for each other in a circle.
_DECIDE = f"""
WITH locked AS (
    SELECT checkout_id FROM payments WHERE checkout_id = ANY ($1::text[]) AND state = 'INTENT' ORDER BY 1 FOR UPDATE
), decided AS (
    UPDATE payments AS p SET state = w.state, provider_ref = w.ref, decided_at = clock_timestamp()
    FROM unnest($1::text[], $2::text[], $3::text[]) AS w (id, state, ref) JOIN locked ON checkout_id = id
    WHERE p.checkout_id = w.id AND p.state = 'INTENT'
    RETURNING {", ".join(f"p.{name}" for name in _COLUMNS.split(", "))}
), events AS (
    INSERT INTO payment_events (checkout_id, state) SELECT checkout_id, state FROM decided
)
SELECT * FROM decided"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the provider has decided of a payment."""

    checkout_id: str
    state: State
    provider_ref: str


class PostgresPayments:
    """Fits the port Payments, and the resolver's."""

    def __init__(self, db: Postgres, metrics: Metrics, *, resolve_after: float) -> None:
        """Take the database, and the seconds without an outcome after which the resolver charges again."""
        self._db = db
        self._resolve_after = resolve_after
        turns = LongestFirst()
        self._intents: BatchedStatement[ChargeRequest, Payment] = BatchedStatement(
            "payment.intent", self._insert_all, metrics, turns=turns
        )
        self._outcomes: BatchedStatement[_Outcome, Payment] = BatchedStatement(
            "payment.decide", self._decide_all, metrics, key=lambda outcome: outcome.checkout_id, turns=turns
        )

    async def insert_intent(self, request: ChargeRequest) -> Payment:
        """Insert an intent where there is no payment; `attempts` counts the repeats."""
        return await self._intents(request)

    async def _insert_all(self, requests: Sequence[ChargeRequest]) -> list[Payment]:
        return await self._insert(
            [request.checkout_id for request in requests],
            [request.user_id for request in requests],
            [request.amount_minor for request in requests],
            [request.currency for request in requests],
            [request.traceparent for request in requests],
            state=State.INTENT,
        )

    async def insert_tombstones(self, checkout_ids: Sequence[str]) -> list[Payment]:
        """Insert a tombstone where there is no payment."""
        count = len(checkout_ids)
        nothing = [""] * count
        return await self._insert(list(checkout_ids), [0] * count, [0] * count, nothing, nothing, state=State.CANCELLED)

    async def decide(self, checkout_id: str, state: State, provider_ref: str) -> Payment:
        """Move an INTENT to a final state; a payment that is already final stays as it is."""
        return await self._outcomes(_Outcome(checkout_id, state, provider_ref))

    async def _decide_all(self, outcomes: Sequence[_Outcome]) -> list[Payment]:
        ids = [outcome.checkout_id for outcome in outcomes]
        states, references = [one.state for one in outcomes], [one.provider_ref for one in outcomes]
        decided = {row["checkout_id"]: _payment(row) for row in await self._db.fetch(_DECIDE, ids, states, references)}
        # Whoever decides second reads, by a statement of its own, what the first one committed.
        if before := [checkout_id for checkout_id in ids if checkout_id not in decided]:
            decided |= {payment.checkout_id: payment for payment in await self._read(before)}
        return [decided[checkout_id] for checkout_id in ids]

    async def take_undecided(self, limit: int) -> list[UndecidedPayment]:
        """Return up to `limit` payments that are due for another attempt, and schedule the attempt after it."""
        rows = await self._db.fetch(
            f"UPDATE payments SET attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval("  # noqa: S608 - constants
            " secs => least(60, $2 * power(2, least(attempts, 10)))) WHERE checkout_id IN (SELECT checkout_id"
            " FROM payments WHERE state = 'INTENT' AND next_attempt_at <= clock_timestamp()"
            f" ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}, traceparent",
            limit,
            self._resolve_after / 2,
        )
        return [UndecidedPayment(_payment(row), row["traceparent"]) for row in rows]

    async def records(self, checkout_ids: Sequence[str]) -> dict[str, PaymentRecord]:
        """Return the payments that exist, by checkout id."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS}, attempts, created_at, decided_at FROM payments WHERE checkout_id = ANY($1::text[])",  # noqa: S608 - constants
            list(checkout_ids),
        )
        return {
            row["checkout_id"]: PaymentRecord(_payment(row), row["attempts"], row["created_at"], row["decided_at"])
            for row in rows
        }

    async def oldest_undecided_seconds(self) -> float:
        """Return the age of the oldest undecided payment, in seconds; 0 when there is none."""
        rows = await self._db.fetch(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age"
            " FROM payments WHERE state = 'INTENT'"
        )
        return float(rows[0]["age"])

    async def _insert(
        self,
        ids: list[str],
        users: list[int],
        amounts: list[int],
        currencies: list[str],
        traceparents: list[str],
        *,
        state: State,
    ) -> list[Payment]:
        rows = await self._db.fetch(_INSERT, ids, users, amounts, currencies, traceparents, state, self._resolve_after)
        there = {row["checkout_id"]: _payment(row) for row in rows}
        return [there[checkout_id] for checkout_id in ids]

    async def _read(self, checkout_ids: Sequence[str]) -> list[Payment]:
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM payments WHERE checkout_id = ANY($1::text[])",  # noqa: S608 - constants
            list(checkout_ids),
        )
        found = {row["checkout_id"]: _payment(row) for row in rows}
        return [found[checkout_id] for checkout_id in checkout_ids]


def _payment(row: Row) -> Payment:
    return Payment(
        row["checkout_id"],
        row["user_id"],
        row["amount_minor"],
        row["currency"],
        State(row["state"]),
        row["provider_ref"] or None,
    )
