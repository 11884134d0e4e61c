"""The tables of the checkouts that are kept in memory."""

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.checkout.domain import Session

LEASE = 10.0


def _loop_time():
    return asyncio.get_running_loop().time()


class Row:
    """What a row has beside the session."""

    def __init__(self, session, owner, now, timeout):
        self.session, self.owner = session, owner
        self.lease_until, self.next_attempt_at, self.cancel_after = now + LEASE, now, now + timeout
        self.cleared = None
        self.cancel_requested = False
        self.intention = None
        self.error = ""
        self.cancel_requested_at = None
        self.changed = None


@dataclass
class OutboxRow:
    """An event of the outbox; `number` is its id there."""

    number: int
    session: Session
    key: str
    payload: bytes
    headers: dict[str, str]
    processed: bool = False
    dead: bool = False
    attempts: int = 0


@dataclass
class Tables:
    """The tables, which processes share, and what the database has of its own: its clocks, its ids and its dice."""

    rows: dict[str, Row] = field(default_factory=dict)
    events: list[OutboxRow] = field(default_factory=list)
    leader: tuple[str, float] = ("", float("-inf"))
    now: Callable[[], float] = _loop_time
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    dice: Callable[[], float] = random.random
    wrote: Callable[[Any, Any], None] = lambda _before, _after: None
    """Is told of each session as it was, None where it is new, and as it is."""
