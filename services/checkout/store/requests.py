"""What resources ask for: accepting it, cancelling it, and barring it by a tombstone."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from services.chassis import call
from services.chassis.batched_statement import BatchedStatement
from services.checkout.domain import KeyReused, Line, Reason, ResourceRequest, Session, Status
from services.checkout.saga import accepted_records
from services.checkout.store.rows import (
    COLUMNS,
    LEASE_SECONDS,
    Queries,
    failed_answer,
    fingerprint_of,
    json_of,
    session_of,
    stored_lines,
)

NO_CURRENCY = "XXX"  # ISO 4217's code for none: a checkout that has claimed nothing has no total

_INSERT = f"""
INSERT INTO checkout_sessions (id, user_id, idempotency_key, fingerprint, source, status, step, steps, reason, snapshot,
    origin_ref, request_id, traceparent, cancel_after, response_code, response_body, completed_at, cancel_requested_at,
    origin, currency, lease_owner, lease_until)
SELECT w.id, w.buyer, w.key, w.print, w.kind, w.state, CASE WHEN failed THEN 'FAILED' ELSE 'ACCEPTED' END, w.records, w.why,
    w.lines, w.ref, w.request, w.trace, clock_timestamp() + make_interval(secs => w.patience),
    CASE WHEN failed THEN 200 END, w.answer, CASE WHEN failed THEN clock_timestamp() END,
    CASE WHEN failed THEN clock_timestamp() END, 'resource', $14, $15, clock_timestamp() + make_interval(secs => $16)
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::jsonb[], $8::text[],
    $9::jsonb[], $10::jsonb[], $11::text[], $12::text[], $13::float8[], $17::bytea[])
    AS w (id, buyer, key, print, kind, state, records, why, lines, ref, request, trace, patience, answer),
    LATERAL (SELECT w.state = 'FAILED' AS failed) AS f
ORDER BY w.buyer, w.key
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}"""  # noqa: S608 - constants

_REQUEST_CANCEL = f"""
UPDATE checkout_sessions SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    next_attempt_at = least(next_attempt_at, clock_timestamp())
WHERE user_id = $1 AND origin = 'resource' AND idempotency_key = $2 AND fingerprint = $3 AND status = 'PROCESSING'
RETURNING {COLUMNS}"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class _New:
    """A checkout to insert for a request of a resource; `failed` is why it never buys, None where it may."""

    request: ResourceRequest
    failed: Reason | None
    asked: call.Call


class RequestQueries(Queries):
    """Writes and finds the checkouts of resources."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._inserts: BatchedStatement[_New, Session | None] = BatchedStatement(
            "checkout.accept",
            self._insert_all,
            self._metrics,
            key=lambda new: (new.request.user_id, new.request.key),
            stamp=lambda new: replace(new, asked=call.current()),
        )

    async def find_accepted(self, request: ResourceRequest) -> Session | None:
        """Return the checkout of a resource's key; KeyReused where it is of something else."""
        rows = await self._db.fetch(
            f"SELECT {COLUMNS}, fingerprint FROM checkout_sessions"  # noqa: S608 - constants
            " WHERE user_id = $1 AND origin = 'resource' AND idempotency_key = $2",
            request.user_id,
            request.key,
        )
        if not rows:
            return None
        if rows[0]["fingerprint"] != fingerprint_of(request):
            raise KeyReused
        return session_of(rows[0])

    async def accept(self, request: ResourceRequest) -> Session | None:
        """Insert a checkout that has claimed nothing yet; None where the key exists."""
        return await self._insert(request, None)

    async def insert_tombstone(self, request: ResourceRequest) -> Session | None:
        """Insert a checkout that has failed as cancelled, so that its key never buys; None where the key exists."""
        return await self._insert(request, Reason.CANCELLED)

    async def request_cancel(self, request: ResourceRequest) -> Session | None:
        """Note that a running checkout is to be cancelled, and have recovery look at it soon.

        None where none runs under the key, or one of something else, which is not theirs to cancel.
        """
        rows = await self._db.fetch(_REQUEST_CANCEL, request.user_id, request.key, fingerprint_of(request))
        return session_of(rows[0]) if rows else None

    async def _insert(self, request: ResourceRequest, failed: Reason | None) -> Session | None:
        return await self._inserts(_New(request, failed, call.current()))

    async def _insert_all(self, new: Sequence[_New]) -> list[Session | None]:
        ids = [str(uuid.uuid4()) for _ in new]
        columns = zip(*(self._values(checkout_id, one) for checkout_id, one in zip(ids, new, strict=True)), strict=True)
        *values, answers = columns
        rows = await self._db.fetch(_INSERT, *values, NO_CURRENCY, self._owner, LEASE_SECONDS, answers)
        inserted = {str(row["id"]): session_of(row) for row in rows}
        return [inserted.get(checkout_id) for checkout_id in ids]

    def _values(self, checkout_id: str, new: _New) -> tuple[Any, ...]:
        request, failed = new.request, new.failed
        steps = accepted_records(datetime.now(UTC))
        if failed:
            steps = tuple(replace(step, state="failed", finished_at=step.started_at) for step in steps)
        return (
            checkout_id,
            request.user_id,
            request.key,
            fingerprint_of(request),
            request.source,
            Status.FAILED if failed else Status.PROCESSING,
            json_of(steps),
            failed,
            json_of(stored_lines([Line(None, product_id, "", 0, quantity) for product_id, quantity in request.items])),
            json_of(request.resource) if request.resource else None,
            new.asked.request_id,
            new.asked.traceparent,
            self._timeout if request.timeout is None else request.timeout,
            failed_answer(checkout_id, failed) if failed else None,
        )
