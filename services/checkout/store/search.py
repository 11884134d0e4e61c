"""Searching every user's checkouts, without a scan of the whole table.

The list is made of two: running checkouts, which are few and have an index of their own, and those that have ended. The
indexes of the latter hold no running ones, so that the steps of a saga do not write to them. A filter that has no index is
applied to at most MAX_LOOKED_AT ended checkouts, and the page then says how far back it has looked.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.chassis.postgres import Row
from services.checkout.domain import Reason, Session, Status, Step, UnknownCheckout
from services.checkout.search import (
    EndedInMinute,
    Event,
    Filter,
    Inspection,
    Page,
    Position,
    RunningStep,
    StepTime,
    Summary,
    search_terms,
)
from services.checkout.store.rows import COLUMNS, Queries, json_of, session_of

MAX_LOOKED_AT = 20_000
TIMED = 1000  # of the last checkouts the steps are timed

_NEWEST = "ORDER BY created_at DESC, id DESC"

# The names that a checkout has beside its id, each with an index of its own for those that have ended.
_NAMED = (
    "idempotency_key = ANY ($1::text[])",
    "request_id = ANY ($1::text[])",
    "substr(traceparent, 4, 32) = ANY ($1::text[])",
    "origin_ref IS NOT NULL AND origin_ref ->> 'name' = ANY ($1::text[])",
    "order_id = ANY ($2::uuid[])",
)
_ENDED_WHERE = "SELECT * FROM checkout_sessions WHERE status <> 'PROCESSING' AND "
_BY_NAME = " ".join(f"UNION {_ENDED_WHERE}{one}" for one in _NAMED)

_FIND = f"""
SELECT {COLUMNS} FROM (
    SELECT * FROM checkout_sessions WHERE id = ANY ($2::uuid[])
    {_BY_NAME}
    UNION SELECT * FROM checkout_sessions WHERE status = 'PROCESSING' AND ({" OR ".join(f"({one})" for one in _NAMED)})
) AS found {_NEWEST} LIMIT $3"""  # noqa: S608 - constants

_INSPECT = f"""
SELECT {COLUMNS}, lease_owner, lease_until > clock_timestamp() AS driven, next_attempt_at, cancel_after,
    cancel_requested_at, clock_timestamp() AS now
FROM checkout_sessions WHERE id = $1"""  # noqa: S608 - constants

_CANCEL = f"""
UPDATE checkout_sessions SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    next_attempt_at = least(next_attempt_at, clock_timestamp())
WHERE id = $1 AND status = 'PROCESSING' RETURNING {COLUMNS}"""  # noqa: S608 - constants

_EVENT = """SELECT event_id, created_at, processed_at, dead_at, attempts, last_error FROM outbox_events
WHERE aggregate_id = $1 ORDER BY id LIMIT 1"""

_RUNNING = """SELECT step, count(*) AS n, min(created_at) AS oldest FROM checkout_sessions
WHERE status = 'PROCESSING' GROUP BY step ORDER BY step"""

# What ended since then was created at most so long before it: a checkout that takes longer is cancelled.
_ENDED = """SELECT date_trunc('minute', completed_at) AS minute, status, reason, count(*) AS n FROM checkout_sessions
WHERE status <> 'PROCESSING' AND created_at >= $1::timestamptz - make_interval(secs => $2) AND completed_at >= $1
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""

_TIMES = f"""
WITH ended AS (SELECT steps FROM checkout_sessions WHERE status <> 'PROCESSING' {_NEWEST} LIMIT $1),
    took AS (SELECT step ->> 'name' AS name, 1000 * extract(epoch FROM
        (step ->> 'finished_at')::timestamptz - (step ->> 'started_at')::timestamptz)::float AS ms
        FROM ended, jsonb_array_elements(steps) AS step WHERE step ->> 'finished_at' IS NOT NULL)
SELECT name, count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY ms) AS p99 FROM took GROUP BY name"""  # noqa: S608 - constants


@dataclass(slots=True)
class _Conditions:
    """The conditions of a filter, and their arguments."""

    args: list[Any] = field(default_factory=list)
    indexed: list[str] = field(default_factory=list)
    """Those that an index serves, or that bound the part of one that is read."""
    others: list[str] = field(default_factory=list)

    def add(self, to: list[str], condition: str, *values: Any) -> None:
        """Add a condition; its `{}` stand for the values."""
        self.args += values
        numbers = range(len(self.args) - len(values) + 1, len(self.args) + 1)
        to.append(condition.format(*(f"${number}" for number in numbers)))


class SearchQueries(Queries):
    """Reads checkouts of every user, and notes that one is to be cancelled."""

    async def search(self, wanted: Filter, limit: int, after: Position | None = None) -> Page:
        """Return at most `limit` checkouts that pass, newest first; with `after` only those that come after it."""
        conditions = _conditions(wanted, after)
        rows = await self._db.fetch(_search(wanted, conditions, limit + 1), *conditions.args)
        sessions = tuple(session_of(row) for row in rows[:limit])
        if len(rows) > limit:
            return Page(sessions, _position(sessions[-1]))
        if not conditions.others or not wanted.ended_statuses:
            return Page(sessions)
        # The page is not full: either nothing older is left, or MAX_LOOKED_AT were looked at.
        bound = _conditions(wanted, after, unindexed=False)
        last = await self._db.fetch(
            f"SELECT id, created_at FROM checkout_sessions WHERE {_ended(wanted, bound)} {_NEWEST}"  # noqa: S608 - constants
            f" OFFSET {MAX_LOOKED_AT - 1} LIMIT 1",
            *bound.args,
        )
        if not last:
            return Page(sessions)
        return Page(sessions, Position(last[0]["created_at"], str(last[0]["id"])), last[0]["created_at"])

    async def find_by(self, text: str, limit: int) -> list[Session]:
        """Return the checkouts that have this id, order id, key, request id, trace id or resource name, newest first."""
        terms = sorted(search_terms(text))
        ids = [one for one in terms if _is_uuid(one)]
        return [session_of(row) for row in await self._db.fetch(_FIND, terms, ids, limit)]

    async def inspect(self, checkout_id: str) -> Inspection:
        """Return a checkout, who drives it, and its event. UnknownCheckout: there is none of this id."""
        if not _is_uuid(checkout_id):
            raise UnknownCheckout
        rows = await self._db.fetch(_INSPECT, checkout_id)
        if not rows:
            raise UnknownCheckout
        events = await self._db.fetch(_EVENT, checkout_id)
        row = rows[0]
        return Inspection(
            session=session_of(row),
            lease_owner=row["lease_owner"],
            driven=row["driven"],
            next_attempt_at=row["next_attempt_at"],
            cancel_after=row["cancel_after"],
            cancel_requested_at=row["cancel_requested_at"],
            event=_event(events[0]) if events else None,
            now=row["now"],
        )

    async def request_cancel_of(self, checkout_id: str) -> Session:
        """Note that a checkout is to be cancelled, if it runs, and return it. UnknownCheckout: there is none of this id."""
        if not _is_uuid(checkout_id):
            raise UnknownCheckout
        rows = await self._db.fetch(_CANCEL, checkout_id)
        rows = rows or await self._db.fetch(f"SELECT {COLUMNS} FROM checkout_sessions WHERE id = $1", checkout_id)  # noqa: S608 - constants
        if not rows:
            raise UnknownCheckout
        return session_of(rows[0])

    async def summary(self, since: datetime) -> Summary:
        """Return what runs, what has ended since then by minute, and how long steps took lately."""
        running = await self._db.fetch(_RUNNING)
        ended = await self._db.fetch(_ENDED, since, self._timeout)
        times = await self._db.fetch(_TIMES, TIMED)
        now = await self._db.fetch("SELECT clock_timestamp() AS now")
        return Summary(
            now[0]["now"],
            tuple(RunningStep(Step(row["step"]), row["n"], row["oldest"]) for row in running),
            tuple(
                EndedInMinute(
                    row["minute"], Status(row["status"]), Reason(row["reason"]) if row["reason"] else None, row["n"]
                )
                for row in ended
            ),
            tuple(StepTime(row["name"], row["n"], row["p50"], row["p99"]) for row in times),
        )


def _search(wanted: Filter, conditions: _Conditions, limit: int) -> str:
    """Return the statement of a page: the running checkouts that pass, and those that have ended, merged by age."""
    parts = []
    if wanted.running_steps:
        both = [_running(wanted), *conditions.indexed, *conditions.others]
        parts.append(f"SELECT * FROM checkout_sessions WHERE {' AND '.join(both)} {_NEWEST} LIMIT {limit}")  # noqa: S608 - constants
    if wanted.ended_statuses:
        inner = f"SELECT * FROM checkout_sessions WHERE {_ended(wanted, conditions)} {_NEWEST}"  # noqa: S608 - constants
        if conditions.others:
            inner = f"SELECT * FROM ({inner} LIMIT {MAX_LOOKED_AT}) AS looked WHERE {' AND '.join(conditions.others)}"  # noqa: S608 - constants
        parts.append(f"{inner} LIMIT {limit}")
    merged = " UNION ALL ".join(f"({part})" for part in parts)
    return f"SELECT {COLUMNS} FROM ({merged}) AS found {_NEWEST} LIMIT {limit}"  # noqa: S608 - constants


def _running(wanted: Filter) -> str:
    steps = ", ".join(f"'{step}'" for step in sorted(wanted.running_steps))
    return f"status = 'PROCESSING' AND step IN ({steps})"


def _ended(wanted: Filter, conditions: _Conditions) -> str:
    """Return the condition of the ended ones, in the words of the partial index that serves it."""
    if wanted.reason:
        status = "status = 'FAILED'"
    elif len(wanted.ended_statuses) == 1:
        status = f"status = '{next(iter(wanted.ended_statuses))}'"
    else:
        status = "status <> 'PROCESSING'"
    return " AND ".join([status, *conditions.indexed])


def _conditions(wanted: Filter, after: Position | None, *, unindexed: bool = True) -> _Conditions:
    made = _Conditions()
    if after is not None:
        made.add(made.indexed, "(created_at, id) < ({}::timestamptz, {}::uuid)", after.created_at, after.checkout_id)
    product = None if wanted.product_id is None else json_of([{"product_id": wanted.product_id}])
    indexed = (
        ("user_id = {}", wanted.user_id),
        ("reason = {}", wanted.reason),
        ("created_at >= {}", wanted.created_from),
        ("created_at < {}", wanted.created_before),
    )
    others = (
        ("origin = {}", wanted.origin),
        ("snapshot @> {}::jsonb", product),
        ("total_amount >= {}", wanted.total_from),
        ("total_amount <= {}", wanted.total_to),
    )
    for to, conditions in ((made.indexed, indexed), (made.others, others if unindexed else ())):
        for condition, value in conditions:
            if value is not None:
                made.add(to, condition, value)
    return made


def _event(row: Row) -> Event:
    return Event(
        str(row["event_id"]),
        row["created_at"],
        row["processed_at"],
        row["dead_at"],
        row["attempts"],
        row["last_error"] or "",
    )


def _position(session: Session) -> Position:
    return Position(session.created_at, session.id)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
