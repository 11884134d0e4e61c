"""Checkouts in PostgreSQL. Every change of a saga is one statement, fenced by its step and its lease's epoch."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.chassis import call
from services.chassis.postgres import Postgres, Row
from services.checkout.domain import (
    Claim,
    Line,
    LostLease,
    Origin,
    Purchase,
    Reason,
    Session,
    Status,
    Step,
    StepRecord,
    UnknownCheckout,
)
from services.checkout.event import completed_event
from services.checkout.saga import first_records, tried_again

LEASE_SECONDS = 10.0
_CART_FINGERPRINT = hashlib.sha256(b"cart").digest()

_COLUMNS = """id, user_id, origin, idempotency_key, source, status, step, steps, reason, version, snapshot, order_id,
    total_amount, currency, lease_epoch, attempts, response_body, request_id, traceparent, created_at, completed_at,
    CASE WHEN cancel_requested_at IS NOT NULL THEN 'Cancelled'
         WHEN cancel_after < clock_timestamp() THEN 'TimedOut' END AS cancel"""

# "Another": those of the same user that hold the cart, as the claim rule has it.
_IN_THE_WAY = """user_id = $1 AND source = 'cart' AND step <> 'ACCEPTED' AND status <> 'FAILED'
    AND (cart_cleared_version IS NULL OR cart_cleared_version > $2)"""

_CLAIM = f"""
INSERT INTO checkout_sessions (user_id, origin, idempotency_key, fingerprint, source, step, steps, snapshot, cart_version,
    total_amount, currency, lease_owner, lease_until, request_id, traceparent, cancel_after)
SELECT $1, 'rest', $3, $4, 'cart', 'CLAIMED', $5, $6, $2, $7, $8, $9,
    clock_timestamp() + make_interval(secs => $10), $11, $12, clock_timestamp() + make_interval(secs => $13)
WHERE NOT EXISTS (SELECT 1 FROM checkout_sessions WHERE {_IN_THE_WAY})
ON CONFLICT DO NOTHING
RETURNING {_COLUMNS}"""  # noqa: S608 - constants

_MOVE = f"""
WITH moved AS (
    UPDATE checkout_sessions SET step = $4, steps = $5, status = $6, reason = $7, version = version + 1,
        changed_at = clock_timestamp(), attempts = 0, last_error = NULL, response_code = $8, response_body = $9,
        completed_at = CASE WHEN $6 <> 'PROCESSING' THEN clock_timestamp() END
    WHERE id = $1 AND step = $2 AND lease_epoch = $3 AND status = 'PROCESSING'
    RETURNING {_COLUMNS}
), told AS (
    INSERT INTO outbox_events (event_id, event_type, aggregate_id, partition_key, payload, headers)
    SELECT $10, 'checkout.completed', moved.id, moved.user_id::text, $11, $12 FROM moved WHERE moved.step = 'COMPLETED'
)
SELECT * FROM moved"""  # noqa: S608 - constants

_TAKE_OVER = f"""
UPDATE checkout_sessions SET lease_owner = $1, lease_epoch = lease_epoch + 1,
    lease_until = clock_timestamp() + make_interval(secs => $2)
WHERE id IN (
    SELECT id FROM checkout_sessions
    WHERE status = 'PROCESSING' AND lease_until < clock_timestamp() AND next_attempt_at <= clock_timestamp()
    ORDER BY next_attempt_at FOR UPDATE SKIP LOCKED LIMIT $3)
RETURNING {_COLUMNS}"""  # noqa: S608 - constants

_PARK = """
UPDATE checkout_sessions SET lease_until = clock_timestamp(), attempts = attempts + 1, last_error = $3, steps = $4,
    next_attempt_at = clock_timestamp() + make_interval(secs => random() * least($6, $5 * power(2, least(attempts, 20))))
WHERE id = $1 AND lease_epoch = $2 AND status = 'PROCESSING'"""
PARK_SECONDS, PARK_MOST_SECONDS = 0.2, 30.0


class PostgresSessions:
    """Fits the ports of the driver, the use cases and the recovery worker."""

    def __init__(self, db: Postgres, *, owner: str, timeout: float) -> None:
        """Take the database, who drives sagas here, and how many seconds a checkout may stay unfinished."""
        self._db = db
        self._owner = owner
        self._timeout = timeout

    async def find(self, user_id: int, origin: Origin, key: str) -> Session | None:
        """Give the checkout of a key."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM checkout_sessions WHERE user_id = $1 AND origin = $2 AND idempotency_key = $3",  # noqa: S608 - constants
            user_id,
            origin,
            key,
        )
        return _session(rows[0]) if rows else None

    async def get(self, user_id: int, checkout_ids: Sequence[str]) -> list[Session]:
        """Give those of the user's checkouts that exist; an id that is no UUID is none."""
        ids = [checkout_id for checkout_id in checkout_ids if _is_uuid(checkout_id)]
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM checkout_sessions WHERE user_id = $1 AND id = ANY($2::uuid[])",  # noqa: S608 - constants
            user_id,
            ids,
        )
        return [_session(row) for row in rows]

    async def load(self, checkout_id: str) -> Session:
        """Read a row."""
        rows = await self._db.fetch(f"SELECT {_COLUMNS} FROM checkout_sessions WHERE id = $1", checkout_id)  # noqa: S608 - constants
        if not rows:
            raise UnknownCheckout
        return _session(rows[0])

    async def still_in_cart(self, user_id: int) -> list[Purchase]:
        """Give the user's purchases whose removal from the cart is not yet known of."""
        rows = await self._db.fetch(
            "SELECT id, snapshot FROM checkout_sessions WHERE user_id = $1 AND source = 'cart'"
            " AND status = 'COMPLETED' AND cart_cleared_version IS NULL",
            user_id,
        )
        return [
            Purchase(str(row["id"]), tuple((line.line_id, line.quantity) for line in _lines(row["snapshot"])))
            for row in rows
        ]

    async def in_the_way(self, user_id: int, cart_version: int) -> list[Session]:
        """Give the checkouts that bar a claim at this version of the cart."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM checkout_sessions WHERE {_IN_THE_WAY}",  # noqa: S608 - constants
            user_id,
            cart_version,
        )
        return [_session(row) for row in rows]

    async def claim(self, claim: Claim) -> Session | None:
        """Insert the checkout under the claim rule; None where something bars it.

        The lock, the note of what is gone and the insert are statements of their own: each must see what was committed
        before it began.
        """
        now = call.current()
        async with self._db.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", claim.user_id)
            if claim.bought:
                await connection.execute(
                    "UPDATE checkout_sessions SET cart_cleared_version = $2"
                    " WHERE id = ANY($1::uuid[]) AND cart_cleared_version IS NULL AND status = 'COMPLETED'",
                    list(claim.bought),
                    claim.cart_version,
                )
            row = await connection.fetchrow(
                _CLAIM,
                claim.user_id,
                claim.cart_version,
                claim.key,
                _CART_FINGERPRINT,
                _json(first_records(datetime.now(UTC))),
                _json(claim.lines),
                claim.total_minor,
                claim.currency,
                self._owner,
                LEASE_SECONDS,
                now.request_id,
                now.traceparent,
                self._timeout,
            )
        return _session(row) if row else None

    async def move(self, before: Session, after: Session) -> Session:
        """Write `after` where the row still is `before` under the same lease; LostLease where it is not."""
        ended = after.status is not Status.PROCESSING
        event_id = uuid.uuid4() if after.status is Status.COMPLETED else None
        headers = {"event_id": str(event_id), "request_id": after.request_id, "traceparent": after.traceparent}
        rows = await self._db.fetch(
            _MOVE,
            before.id,
            before.step,
            before.lease_epoch,
            after.step,
            _json(after.steps),
            after.status,
            after.reason,
            200 if ended else None,
            _answer(after) if ended else None,
            event_id,
            completed_event(after, str(event_id), datetime.now(UTC)) if event_id else None,
            _json(headers) if event_id else None,
        )
        if not rows:
            raise LostLease(before.id)
        return _session(rows[0])

    async def park(self, session: Session, error: str) -> None:
        """Give the lease up; recovery tries again after a pause that doubles up to its most, with full jitter."""
        await self._db.fetch(
            _PARK,
            session.id,
            session.lease_epoch,
            error,
            _json(tried_again(session.steps)),
            PARK_SECONDS,
            PARK_MOST_SECONDS,
        )

    async def take_over(self, most: int) -> list[Session]:
        """Take the lease of up to `most` sagas that nobody drives."""
        rows = await self._db.fetch(_TAKE_OVER, self._owner, LEASE_SECONDS, most)
        return [_session(row) for row in rows]

    async def renew(self, checkout_ids: Sequence[str]) -> None:
        """Extend the leases that this process has."""
        await self._db.fetch(
            "UPDATE checkout_sessions SET lease_until = clock_timestamp() + make_interval(secs => $3)"
            " WHERE id = ANY($1::uuid[]) AND lease_owner = $2 AND status = 'PROCESSING'",
            list(checkout_ids),
            self._owner,
            LEASE_SECONDS,
        )

    async def oldest_running_seconds(self) -> float:
        """Give the age of the oldest checkout that has not ended, in seconds."""
        rows = await self._db.fetch(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS age"
            " FROM checkout_sessions WHERE status = 'PROCESSING'"
        )
        return float(rows[0]["age"])


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _answer(session: Session) -> bytes:
    """Give the body that is stored and replayed for ever."""
    body = {"checkout_id": session.id, "status": session.status.value}
    if session.reason:
        body["reason"] = session.reason.value
    return msgspec.json.encode(body)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _lines(snapshot: str) -> tuple[Line, ...]:
    return msgspec.json.decode(snapshot, type=tuple[Line, ...])


def _session(row: Row) -> Session:
    return Session(
        id=str(row["id"]),
        user_id=row["user_id"],
        origin=Origin(row["origin"]),
        key=row["idempotency_key"],
        source=row["source"],
        status=Status(row["status"]),
        step=Step(row["step"]),
        lines=_lines(row["snapshot"]),
        total_minor=row["total_amount"],
        currency=row["currency"],
        order_id=str(row["order_id"]),
        lease_epoch=row["lease_epoch"],
        version=row["version"],
        created_at=row["created_at"],
        finished_at=row["completed_at"],
        reason=Reason(row["reason"]) if row["reason"] else None,
        cancel=Reason(row["cancel"]) if row["cancel"] else None,
        steps=msgspec.json.decode(row["steps"], type=tuple[StepRecord, ...]),
        attempts=row["attempts"],
        response_body=row["response_body"] or b"",
        request_id=row["request_id"],
        traceparent=row["traceparent"],
    )
