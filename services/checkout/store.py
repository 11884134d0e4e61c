"""Checkouts in PostgreSQL. Every change of a saga is one statement, fenced by its step and its lease's epoch."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.chassis import call
from services.chassis.postgres import Postgres, Row
from services.checkout.domain import (
    Claim,
    KeyReused,
    Line,
    LostLease,
    Origin,
    Purchase,
    Reason,
    Resource,
    Session,
    Status,
    Step,
    StepRecord,
    UnknownCheckout,
    Wanted,
)
from services.checkout.event import completed_event
from services.checkout.saga import accepted_records, claimed_records, first_records, tried_again

LEASE_SECONDS = 10.0
_CART_FINGERPRINT = hashlib.sha256(b"cart").digest()
NO_CURRENCY = "XXX"  # ISO 4217's code for none: a checkout that has claimed nothing has no total
LOOK_BACK = "5 s"  # longer than a statement and its commit may take

_COLUMNS = """id, user_id, origin, idempotency_key, source, status, step, steps, reason, version, snapshot, order_id,
    total_amount, currency, lease_epoch, attempts, response_body, request_id, traceparent, created_at, completed_at,
    origin_ref, last_error,
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

_ACCEPT = f"""
INSERT INTO checkout_sessions (user_id, origin, idempotency_key, fingerprint, source, status, step, steps, reason,
    snapshot, currency, origin_ref, lease_owner, lease_until, request_id, traceparent, cancel_after, response_code,
    response_body, completed_at, cancel_requested_at, id)
SELECT $1, 'resource', $2, $3, $4, $5, CASE WHEN $5 = 'FAILED' THEN 'FAILED' ELSE 'ACCEPTED' END, $6, $7,
    $8, $9, $10, $11, clock_timestamp() + make_interval(secs => $12), $13, $14,
    clock_timestamp() + make_interval(secs => $15), $16, $17,
    CASE WHEN $5 = 'FAILED' THEN clock_timestamp() END, CASE WHEN $5 = 'FAILED' THEN clock_timestamp() END, $18
ON CONFLICT DO NOTHING
RETURNING {_COLUMNS}"""

_CLAIM_ACCEPTED = f"""
UPDATE checkout_sessions SET step = 'CLAIMED', steps = $4, snapshot = $5, cart_version = $6, total_amount = $7,
    currency = $8, version = version + 1, changed_at = clock_timestamp(), attempts = 0, last_error = NULL
WHERE id = $3 AND step = 'ACCEPTED' AND status = 'PROCESSING' AND lease_epoch = $9
    AND ($10 OR NOT EXISTS (SELECT 1 FROM checkout_sessions WHERE {_IN_THE_WAY}))
RETURNING {_COLUMNS}"""  # noqa: S608 - constants

_ASK_CANCEL = f"""
UPDATE checkout_sessions SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    next_attempt_at = least(next_attempt_at, clock_timestamp())
WHERE user_id = $1 AND origin = 'resource' AND idempotency_key = $2 AND fingerprint = $3 AND status = 'PROCESSING'
RETURNING {_COLUMNS}"""  # noqa: S608 - constants

_MOVE = f"""
WITH moved AS (
    UPDATE checkout_sessions SET step = $4, steps = $5, status = $6, reason = $7, version = version + 1,
        changed_at = clock_timestamp(), attempts = 0, last_error = CASE WHEN $6 = 'FAILED' THEN coalesce($13, last_error) END,
        response_code = $8, response_body = $9,
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
            await _hold_cart(connection, claim)
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

    async def claim_accepted(self, session: Session, claim: Claim) -> Session | None:
        """Take an accepted checkout to CLAIMED under the claim rule, which a checkout of items does not need."""
        async with self._db.transaction() as connection:
            if session.source == "cart":
                await _hold_cart(connection, claim)
            row = await connection.fetchrow(
                _CLAIM_ACCEPTED,
                claim.user_id,
                claim.cart_version,
                session.id,
                _json(claimed_records(session.steps, datetime.now(UTC))),
                _json(claim.lines),
                claim.cart_version if session.source == "cart" else None,
                claim.total_minor,
                claim.currency,
                session.lease_epoch,
                session.source == "items",
            )
        if row is None and not await self._drives(session):
            raise LostLease(session.id)
        return _session(row) if row else None

    async def accepted(self, wanted: Wanted) -> Session | None:
        """Give the checkout of a resource's key; KeyReused where it is of something else."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS}, fingerprint FROM checkout_sessions"  # noqa: S608 - constants
            " WHERE user_id = $1 AND origin = 'resource' AND idempotency_key = $2",
            wanted.user_id,
            wanted.key,
        )
        if not rows:
            return None
        if rows[0]["fingerprint"] != _fingerprint(wanted):
            raise KeyReused
        return _session(rows[0])

    async def accept(self, wanted: Wanted) -> Session | None:
        """Insert a checkout that has claimed nothing yet; None where its key is taken."""
        return await self._insert_wanted(wanted, None)

    async def entomb(self, wanted: Wanted) -> Session | None:
        """Insert a checkout that has failed as cancelled; None where its key is taken."""
        return await self._insert_wanted(wanted, Reason.CANCELLED)

    async def ask_cancel(self, wanted: Wanted) -> Session | None:
        """Note that a running checkout is to be cancelled, and have recovery look at it soon.

        None where none runs under the key, or one of something else, which is not theirs to cancel.
        """
        rows = await self._db.fetch(_ASK_CANCEL, wanted.user_id, wanted.key, _fingerprint(wanted))
        return _session(rows[0]) if rows else None

    async def recent(self, origin: Origin, ended_within: float, most: int) -> list[Session]:
        """Give those of an origin that run, or that ended within so many seconds, oldest first."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM checkout_sessions WHERE origin = $1 AND (status = 'PROCESSING'"  # noqa: S608 - constants
            " OR changed_at > clock_timestamp() - make_interval(secs => $2)) ORDER BY created_at LIMIT $3",
            origin,
            ended_within,
            most,
        )
        return [_session(row) for row in rows]

    async def changed_since(self, cursor: datetime | None) -> list[tuple[str, int, datetime]]:
        """Give (id, version, changed at) from a little before `cursor` on, or before now."""
        rows = await self._db.fetch(
            f"SELECT id, version, changed_at FROM checkout_sessions"  # noqa: S608 - constants
            f" WHERE changed_at >= coalesce($1, clock_timestamp()) - interval '{LOOK_BACK}' ORDER BY changed_at",
            cursor,
        )
        return [(str(row["id"]), row["version"], row["changed_at"]) for row in rows]

    async def load_many(self, checkout_ids: Sequence[str]) -> list[Session]:
        """Give those checkouts that exist."""
        rows = await self._db.fetch(
            f"SELECT {_COLUMNS} FROM checkout_sessions WHERE id = ANY($1::uuid[]) ORDER BY changed_at",  # noqa: S608 - constants
            list(checkout_ids),
        )
        return [_session(row) for row in rows]

    async def _drives(self, session: Session) -> bool:
        there = await self.load(session.id)
        return there.step is session.step and there.lease_epoch == session.lease_epoch

    async def _insert_wanted(self, wanted: Wanted, failed: Reason | None) -> Session | None:
        now = call.current()
        checkout_id = str(uuid.uuid4())
        lines = [Line("", product_id, "", 0, quantity) for product_id, quantity in wanted.items]
        steps = accepted_records(datetime.now(UTC))
        if failed:
            steps = tuple(replace(step, state="failed", finished_at=step.started_at) for step in steps)
        status = Status.FAILED if failed else Status.PROCESSING
        rows = await self._db.fetch(
            _ACCEPT,
            wanted.user_id,
            wanted.key,
            _fingerprint(wanted),
            wanted.source,
            status,
            _json(steps),
            failed,
            _json(lines),
            NO_CURRENCY,
            _json(wanted.resource),
            self._owner,
            LEASE_SECONDS,
            now.request_id,
            now.traceparent,
            wanted.timeout or self._timeout,
            200 if failed else None,
            _body(checkout_id, status, failed, "") if failed else None,
            checkout_id,
        )
        return _session(rows[0]) if rows else None

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
            _body(after.id, after.status, after.reason, after.order_id) if ended else None,
            event_id,
            completed_event(after, str(event_id), datetime.now(UTC)) if event_id else None,
            _json(headers) if event_id else None,
            after.last_error or None,
        )
        if not rows:
            raise LostLease(before.id)
        return _session(rows[0])

    async def park(self, session: Session, error: str, *, most: float | None = None) -> None:
        """Give the lease up; recovery tries again after a pause that doubles up to its most, with full jitter."""
        await self._db.fetch(
            _PARK,
            session.id,
            session.lease_epoch,
            error,
            _json(tried_again(session.steps)),
            PARK_SECONDS,
            most or PARK_MOST_SECONDS,
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


async def _hold_cart(connection: Any, claim: Claim) -> None:
    """Let nobody else claim this user's cart until the transaction ends, and note what is gone from it."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", claim.user_id)
    if claim.bought:
        await connection.execute(
            "UPDATE checkout_sessions SET cart_cleared_version = $2"
            " WHERE id = ANY($1::uuid[]) AND cart_cleared_version IS NULL AND status = 'COMPLETED'",
            list(claim.bought),
            claim.cart_version,
        )


def _fingerprint(wanted: Wanted) -> bytes:
    return hashlib.sha256(wanted.intention.encode()).digest()


def _body(checkout_id: str, status: Status, reason: Reason | None, order_id: str) -> bytes:
    """Give the body that is stored and replayed for ever, with the order's id where there is an order."""
    body = {"checkout_id": checkout_id, "status": status.value}
    if status is Status.COMPLETED:
        body["order_id"] = order_id
    if reason:
        body["reason"] = reason.value
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
        resource=msgspec.json.decode(row["origin_ref"] or "{}", type=Resource),
        last_error=row["last_error"] or "",
    )
