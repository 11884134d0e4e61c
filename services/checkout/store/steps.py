"""Moving sagas from one step to the next; completing one writes its event in the same statement."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from services.chassis import call
from services.chassis.batched_statement import BatchedStatement
from services.checkout.domain import LostLease, Reason, Session, Status
from services.checkout.event import completed_event
from services.checkout.store.rows import CANCEL, Queries, completed_answer, failed_answer, json_of

# Rows are locked in the order of their ids, so that two statements cannot wait for each other in a circle.
_MOVE = f"""
WITH wanted AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::bytea[],
        $9::text[], $10::uuid[], $11::jsonb[], $12::jsonb[])
        AS w (checkout_id, came, epoch, becomes, records, ends, why, answer, error, event, payload, event_headers)
), locked AS (
    SELECT id FROM checkout_sessions JOIN wanted ON id = checkout_id
    WHERE step = came AND lease_epoch = epoch AND status = 'PROCESSING' ORDER BY id FOR UPDATE OF checkout_sessions
), moved AS (
    UPDATE checkout_sessions AS s SET step = becomes, steps = records, status = ends, reason = why, version = version + 1,
        changed_at = clock_timestamp(), attempts = 0, response_body = answer,
        response_code = CASE WHEN ends <> 'PROCESSING' THEN 200 END,
        last_error = CASE WHEN ends = 'FAILED' THEN coalesce(error, last_error) END,
        completed_at = CASE WHEN ends <> 'PROCESSING' THEN clock_timestamp() END
    FROM wanted JOIN locked ON locked.id = checkout_id
    WHERE s.id = checkout_id AND step = came AND lease_epoch = epoch AND status = 'PROCESSING'
    RETURNING s.id, s.user_id, s.version, s.completed_at, s.last_error, {CANCEL} AS cancel, event, payload, event_headers
), events AS (
    INSERT INTO outbox_events (event_id, event_type, aggregate_id, partition_key, payload, headers)
    SELECT event, 'checkout.completed', id, user_id::text, payload, event_headers FROM moved WHERE event IS NOT NULL
)
SELECT id, version, completed_at, last_error, cancel FROM moved"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class _Move:
    """A session as its row is, and as it is to be."""

    before: Session
    after: Session
    traceparent: str = ""
    """The span that makes the move, under which its event goes on."""


class StepQueries(Queries):
    """Writes the steps of sagas."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._moves: BatchedStatement[_Move, Session] = BatchedStatement(
            "checkout.move",
            self._move_all,
            self._metrics,
            key=lambda move: move.before.id,
            stamp=lambda move: replace(move, traceparent=call.current().traceparent or move.after.traceparent),
            turns=self._turns,
        )

    async def move(self, before: Session, after: Session) -> Session:
        """Write `after` where the row still is `before` under the same lease; LostLease where it is not."""
        return await self._moves(_Move(before, after))

    async def _move_all(self, moves: Sequence[_Move]) -> list[Session | Exception]:
        rows = await self._db.fetch(_MOVE, *zip(*(_values(move) for move in moves), strict=True))
        written = {str(row["id"]): row for row in rows}
        return [
            _written(move.after, written[move.before.id]) if move.before.id in written else LostLease(move.before.id)
            for move in moves
        ]


def _values(move: _Move) -> tuple[Any, ...]:
    """Return a move as the statement takes it. An event goes with the move that completes a checkout."""
    before, after = move.before, move.after
    event_id = str(uuid.uuid4()) if after.status is Status.COMPLETED else None
    headers = {"event_id": event_id, "request_id": after.request_id, "traceparent": move.traceparent}
    return (
        before.id,
        before.step,
        before.lease_epoch,
        after.step,
        json_of(after.steps),
        after.status,
        after.reason,
        _answer(after),
        after.last_error,
        event_id,
        completed_event(after, event_id, datetime.now(UTC)) if event_id else None,
        json_of(headers) if event_id else None,
    )


def _written(after: Session, row: Any) -> Session:
    return replace(
        after,
        version=row["version"],
        attempts=0,
        finished_at=row["completed_at"],
        cancel=Reason(row["cancel"]) if row["cancel"] else None,
        response_body=_answer(after) or b"",
        last_error=row["last_error"],
    )


def _answer(session: Session) -> bytes | None:
    if session.status is Status.COMPLETED:
        return completed_answer(session.id, session.order_id)
    if session.status is Status.FAILED:
        return failed_answer(session.id, session.reason)
    return None
