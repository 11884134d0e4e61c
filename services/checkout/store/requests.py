"""What resources ask for: accepting it, cancelling it, and barring it by a tombstone."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from services.chassis import call
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
)

NO_CURRENCY = "XXX"  # ISO 4217's code for none: a checkout that has claimed nothing has no total

_INSERT = f"""
INSERT INTO checkout_sessions (user_id, origin, idempotency_key, fingerprint, source, status, step, steps, reason,
    snapshot, currency, origin_ref, lease_owner, lease_until, request_id, traceparent, cancel_after, response_code,
    response_body, completed_at, cancel_requested_at, id)
SELECT $1, 'resource', $2, $3, $4, $5, CASE WHEN $5 = 'FAILED' THEN 'FAILED' ELSE 'ACCEPTED' END, $6, $7,
    $8, $9, $10, $11, clock_timestamp() + make_interval(secs => $12), $13, $14,
    clock_timestamp() + make_interval(secs => $15), $16, $17,
    CASE WHEN $5 = 'FAILED' THEN clock_timestamp() END, CASE WHEN $5 = 'FAILED' THEN clock_timestamp() END, $18
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}"""

_REQUEST_CANCEL = f"""
UPDATE checkout_sessions SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    next_attempt_at = least(next_attempt_at, clock_timestamp())
WHERE user_id = $1 AND origin = 'resource' AND idempotency_key = $2 AND fingerprint = $3 AND status = 'PROCESSING'
RETURNING {COLUMNS}"""  # noqa: S608 - constants


class RequestQueries(Queries):
    """Writes and finds the checkouts of resources."""

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
        now = call.current()
        checkout_id = str(uuid.uuid4())
        lines = [Line("", product_id, "", 0, quantity) for product_id, quantity in request.items]
        steps = accepted_records(datetime.now(UTC))
        if failed:
            steps = tuple(replace(step, state="failed", finished_at=step.started_at) for step in steps)
        rows = await self._db.fetch(
            _INSERT,
            request.user_id,
            request.key,
            fingerprint_of(request),
            request.source,
            Status.FAILED if failed else Status.PROCESSING,
            json_of(steps),
            failed,
            json_of(lines),
            NO_CURRENCY,
            json_of(request.resource),
            self._owner,
            LEASE_SECONDS,
            now.request_id,
            now.traceparent,
            self._timeout if request.timeout is None else request.timeout,
            200 if failed else None,
            failed_answer(checkout_id, failed) if failed else None,
            checkout_id,
        )
        return session_of(rows[0]) if rows else None
