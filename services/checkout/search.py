"""Checkouts as staff look for them: filters, pages, and what is known of one beside its session. Pure."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from services.checkout.domain import Origin, Reason, Session, Status, Step

_RUNNING = frozenset(Step) - {Step.COMPLETED, Step.FAILED}
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
MIRROR_PREFIX = "co-"
"""What the name of the resource that mirrors a REST checkout begins with, before the checkout's id."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which checkouts to show. None, and an empty set of steps, let every checkout pass; totals are in minor units."""

    user_id: int | None = None
    steps: frozenset[Step] = frozenset()
    reason: Reason | None = None
    origin: Origin | None = None
    product_id: int | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    total_from: int | None = None
    total_to: int | None = None

    @property
    def running_steps(self) -> frozenset[Step]:
        """The steps of running checkouts that pass."""
        return self.steps & _RUNNING if self.steps else _RUNNING

    @property
    def ended_statuses(self) -> frozenset[Status]:
        """The statuses of ended checkouts that pass."""
        ended = {Step.COMPLETED: Status.COMPLETED, Step.FAILED: Status.FAILED}
        return frozenset(status for step, status in ended.items() if not self.steps or step in self.steps)

    def passes(self, session: Session) -> bool:
        """Whether a checkout passes."""
        return (
            self.user_id in (None, session.user_id)
            and (not self.steps or session.step in self.steps)
            and self.reason in (None, session.reason)
            and self.origin in (None, session.origin)
            and (self.product_id is None or self.product_id in {line.product_id for line in session.lines})
            and (self.created_from is None or session.created_at >= self.created_from)
            and (self.created_before is None or session.created_at < self.created_before)
            and (self.total_from is None or session.total_minor >= self.total_from)
            and (self.total_to is None or session.total_minor <= self.total_to)
        )


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the list of all checkouts, which is ordered by creation and then by id."""

    created_at: datetime
    checkout_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of checkouts, newest first. `following`: where the next page begins after; None where there is none.

    `searched_to`: set where the page is not full although older checkouts were not looked at.
    """

    sessions: tuple[Session, ...]
    following: Position | None = None
    searched_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """The event of a completed checkout in the outbox."""

    event_id: str
    created_at: datetime
    published_at: datetime | None
    given_up_at: datetime | None
    attempts: int
    last_error: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """A checkout, who drives it, and its event. All times are the database's."""

    session: Session
    lease_owner: str
    driven: bool
    next_attempt_at: datetime
    cancel_after: datetime
    cancel_requested_at: datetime | None
    event: Event | None
    now: datetime


@dataclass(frozen=True, slots=True)
class RunningStep:
    """How many checkouts are in a step, and when the oldest of them was made."""

    step: Step
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class EndedInMinute:
    """How many checkouts ended in one way within the minute that began at `minute`."""

    minute: datetime
    status: Status
    reason: Reason | None
    count: int


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long a step took in the checkouts that ended last, in milliseconds."""

    name: str
    count: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What runs, what has ended, and how long steps took. `now` is the database's time."""

    now: datetime
    running: tuple[RunningStep, ...] = ()
    ended: tuple[EndedInMinute, ...] = ()
    steps: tuple[StepTime, ...] = field(default=())


def search_terms(text: str) -> frozenset[str]:
    """Return what to look for: the text, and the id that a resource's name or a traceparent holds."""
    found = {text}
    if text.startswith(MIRROR_PREFIX):
        found.add(text.removeprefix(MIRROR_PREFIX))
    if trace := _TRACEPARENT.fullmatch(text):
        found.add(trace[1])
    return frozenset(found | {one.lower() for one in found})
