"""Creates the events of resources: each once, and those of trouble at a bounded rate.

The event of a failure is created however often that takes. Another one that was not created, since the rate was used up or
the API server did not answer, is created when its checkout is compared next, if there is still something to tell.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any, Protocol

from checkout_operator.events import (
    ENDED,
    UNANSWERED,
    Event,
    body,
    failure_event,
    progress_events,
    unanswered_event,
)
from checkout_operator.mirrors import WriteBudget
from checkout_operator.spec import Resource
from checkout_operator.status import SagaView, seconds

EVENTS_PER_SECOND = 20.0
"""The most events of trouble a second. An outage meets every resource that runs. Failures are always reported."""
MOST_TRIES = 5
"""How often an event that tells of no failure is tried: it may be refused for ever."""


class Events(Protocol):
    """The API server."""

    def create_event(self, event: Mapping[str, Any]) -> Coroutine[Any, Any, bool]:
        """Create an event; one that exists stays as it is."""


Write = Callable[[str, Coroutine[Any, Any, bool]], Awaitable[bool | None]]
"""Makes a write of this verb; None where it failed."""


class EventRecorder:
    """Creates events, and knows which this process has created."""

    def __init__(
        self,
        cluster: Events,
        write: Write,
        *,
        clock: Callable[[], float] = time.time,
        fraction: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """Take the part of the rate that this operator may use, as `fraction`."""
        self._cluster = cluster
        self._write = write
        self._clock = clock
        self._budget = WriteBudget(EVENTS_PER_SECOND, EVENTS_PER_SECOND, fraction)
        self._created: dict[str, set[str]] = {}
        """The places of the events of each resource, by its uid."""
        self._tries: dict[str, Counter[str]] = {}
        """How often an event was tried that tells of no failure, by uid and place."""
        self._first_seen: dict[str, dict[str, float]] = {}
        """When this process first saw something that an event may be about, by uid and place, by its own steady clock."""

    async def record_failure(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Create the event of a failure."""
        await self._record(resource, failure_event(status))

    def has_recorded_failure(self, resource: Resource) -> bool:
        """Return whether this process has created the event of a failure, or found it there."""
        return ENDED in self._created.get(resource.uid, ())

    async def record_progress(self, resource: Resource, view: SagaView) -> bool:
        """Create the events that are due for a checkout that has not failed. Returns whether nothing is left to tell of it."""
        return all([await self._record_when_due(resource, event) for event in progress_events(view)])

    async def record_unanswered(self, resource: Resource, error: str) -> None:
        """Create the event of a resource that could not be started or cancelled, once that lasts."""
        since = self._clock() - self._seen_for(resource, UNANSWERED)
        await self._record_when_due(resource, unanswered_event(int(since * 1000), error))

    def answered(self, resource: Resource) -> None:
        """Record that the checkout service has answered for a resource: it is unanswered no more."""
        self._first_seen.get(resource.uid, {}).pop(UNANSWERED, None)

    def retain(self, uids: Collection[str]) -> None:
        """Forget all other resources: they are gone."""
        self._created = {uid: places for uid, places in self._created.items() if uid in uids}
        self._tries = {uid: tries for uid, tries in self._tries.items() if uid in uids}
        self._first_seen = {uid: seen for uid, seen in self._first_seen.items() if uid in uids}

    async def _record_when_due(self, resource: Resource, event: Event) -> bool:
        """Create an event if that is due. Returns whether it is there, or given up."""
        tries = self._tries.setdefault(resource.uid, Counter())
        if event.place in self._created.get(resource.uid, ()) or tries[event.place] >= MOST_TRIES:
            return True
        # An operator whose clock is behind counts from when it first saw it.
        lasted = max(self._clock() - seconds(event.at), self._seen_for(resource, event.place))
        if lasted < event.notable_after or not self._budget.spend():
            return False
        tries[event.place] += 1
        return await self._record(resource, event)

    async def _record(self, resource: Resource, event: Event) -> bool:
        """Create an event, unless this process has. Returns whether it is there."""
        created = self._created.setdefault(resource.uid, set())
        if event.place not in created and await self._write("event", self._cluster.create_event(body(resource, event))):
            created.add(event.place)
        return event.place in created

    def _seen_for(self, resource: Resource, place: str) -> float:
        """Return how many seconds ago this process first saw this of a resource."""
        now = time.monotonic()
        return now - self._first_seen.setdefault(resource.uid, {}).setdefault(place, now)
