"""Moving a saga from one step to the next; completing it writes its event in the same statement."""

import uuid
from datetime import UTC, datetime

from services.checkout.domain import LostLease, Session, Status
from services.checkout.event import completed_event
from services.checkout.store.rows import COLUMNS, Queries, completed_answer, failed_answer, json_of, session_of

_MOVE = f"""
WITH moved AS (
    UPDATE checkout_sessions SET step = $4, steps = $5, status = $6, reason = $7, version = version + 1,
        changed_at = clock_timestamp(), attempts = 0, response_code = $8, response_body = $9,
        last_error = CASE WHEN $6 = 'FAILED' THEN coalesce($13, last_error) END,
        completed_at = CASE WHEN $6 <> 'PROCESSING' THEN clock_timestamp() END
    WHERE id = $1 AND step = $2 AND lease_epoch = $3 AND status = 'PROCESSING'
    RETURNING {COLUMNS}
), event AS (
    INSERT INTO outbox_events (event_id, event_type, aggregate_id, partition_key, payload, headers)
    SELECT $10, 'checkout.completed', moved.id, moved.user_id::text, $11, $12 FROM moved WHERE moved.step = 'COMPLETED'
)
SELECT * FROM moved"""  # noqa: S608 - constants


class StepQueries(Queries):
    """Writes the steps of sagas."""

    async def move(self, before: Session, after: Session) -> Session:
        """Write `after` where the row still is `before` under the same lease; LostLease where it is not."""
        event_id = uuid.uuid4() if after.status is Status.COMPLETED else None
        headers = {"event_id": str(event_id), "request_id": after.request_id, "traceparent": after.traceparent}
        rows = await self._db.fetch(
            _MOVE,
            before.id,
            before.step,
            before.lease_epoch,
            after.step,
            json_of(after.steps),
            after.status,
            after.reason,
            None if after.status is Status.PROCESSING else 200,
            _answer(after),
            event_id,
            completed_event(after, str(event_id), datetime.now(UTC)) if event_id else None,
            json_of(headers) if event_id else None,
            after.last_error or None,
        )
        if not rows:
            raise LostLease(before.id)
        return session_of(rows[0])


def _answer(session: Session) -> bytes | None:
    if session.status is Status.COMPLETED:
        return completed_answer(session.id, session.order_id)
    if session.status is Status.FAILED:
        return failed_answer(session.id, session.reason)
    return None
