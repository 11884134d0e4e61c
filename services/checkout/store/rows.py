"""What every query of checkouts shares: the columns of a row, the session they make, and the answer that is stored."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from services.chassis.longest_first import LongestFirst
from services.chassis.postgres import Postgres, Row
from services.chassis.telemetry import Metrics
from services.checkout.domain import (
    Line,
    Origin,
    Purchase,
    Reason,
    Resource,
    ResourceRequest,
    Session,
    Source,
    Status,
    Step,
    StepRecord,
    cart_purchase,
)

LEASE_SECONDS = 10.0
CART_FINGERPRINT = hashlib.sha256(b"cart").digest()

CANCEL = """CASE WHEN cancel_requested_at IS NOT NULL THEN 'Cancelled'
    WHEN cancel_after < clock_timestamp() THEN 'TimedOut' END"""
"""Why a checkout should stop, or NULL."""

COLUMNS = f"""id, user_id, origin, idempotency_key, source, status, step, steps, reason, version, snapshot, order_id,
    total_amount, currency, lease_epoch, attempts, response_body, request_id, traceparent, created_at, completed_at,
    origin_ref, last_error, {CANCEL} AS cancel"""


class Queries:
    """The database, and the process that asks it. What many sagas do at once goes as one statement."""

    def __init__(
        self, db: Postgres, metrics: Metrics, *, owner: str, timeout: float, turns: LongestFirst | None = None
    ) -> None:
        """Take the database, the name of this process as a driver, and the seconds a checkout may stay unfinished.

        With `turns` the steps of sagas take turns with what else has the same. What is read for others, and what is accepted
        of resources, does not: nobody waits for it, and it waits for nobody.
        """
        self._db = db
        self._metrics = metrics
        self._owner = owner
        self._timeout = timeout
        self._turns = turns


def cancelled(*, requested: bool, late: bool) -> Reason | None:
    """Return why a checkout should stop, as COLUMNS says it; None where it should not."""
    if requested:
        return Reason.CANCELLED
    return Reason.TIMED_OUT if late else None


def session_of(row: Row) -> Session:
    """Return the session of a row that has COLUMNS."""
    return Session(
        id=str(row["id"]),
        user_id=row["user_id"],
        origin=Origin(row["origin"]),
        key=row["idempotency_key"],
        source=Source(row["source"]),
        status=Status(row["status"]),
        step=Step(row["step"]),
        lines=lines_of(row["snapshot"]),
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
        resource=msgspec.json.decode(row["origin_ref"], type=Resource) if row["origin_ref"] else None,
        last_error=row["last_error"],
    )


def purchase_of(row: Row) -> Purchase:
    """Return the purchase of a row that has `id` and `snapshot`."""
    return cart_purchase(str(row["id"]), lines_of(row["snapshot"]))


def lines_of(snapshot: str) -> tuple[Line, ...]:
    """Read the lines of a row."""
    lines = msgspec.json.decode(snapshot, type=tuple[Line, ...])
    return tuple(line if line.line_id else replace(line, line_id=None) for line in lines)


def stored_lines(lines: Iterable[Line]) -> list[Line]:
    """Return lines as a row keeps them: every version before this one reads the `line_id` of an item as a text."""
    return [line if line.line_id is not None else replace(line, line_id="") for line in lines]


def json_of(value: Any) -> str:
    """Return the text of a jsonb column."""
    return msgspec.json.encode(value).decode()


def fingerprint_of(request: ResourceRequest) -> bytes:
    """Return what must be the same when the key comes again."""
    return hashlib.sha256(request.intention.encode()).digest()


def completed_answer(checkout_id: str, order_id: str) -> bytes:
    """Return the body of a purchase, which is stored and replayed for ever."""
    return msgspec.json.encode({"checkout_id": checkout_id, "status": Status.COMPLETED.value, "order_id": order_id})


def failed_answer(checkout_id: str, reason: Reason | None) -> bytes:
    """Return the body of a failure, which is stored and replayed for ever."""
    body = {"checkout_id": checkout_id, "status": Status.FAILED.value}
    return msgspec.json.encode(body | ({"reason": reason.value} if reason else {}))
