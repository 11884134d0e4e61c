"""Shows checkouts as resources: writes the latest state of each into its status, and creates mirrors.

A status is compared with what it should be, to see whether a write is needed. Nothing else is decided by it.
Writes that fail are made again a few times (`pending`), and then by each full comparison.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from checkout_operator import tracing
from checkout_operator.cache import Ending, ResourceCache
from checkout_operator.cluster import Cluster, NamespaceGone
from checkout_operator.event_recorder import EventRecorder
from checkout_operator.faults import Faults
from checkout_operator.mirrors import LEFT_OUT, Decision, MirrorPolicy
from checkout_operator.pending import PendingStates
from checkout_operator.recent import RecentSet
from checkout_operator.spec import NamespacedName, Resource, parse
from checkout_operator.status import (
    MESSAGES,
    NOTHING_SHOWN,
    SagaView,
    StatusDigest,
    digest,
    project,
    refused,
    seconds,
)
from checkout_operator.telemetry import Metrics
from checkout_operator.writes import NotAnswered, Writes

COALESCE_SECONDS = 0.25
"""How long changes are collected before they are written."""
MIRROR_AFTER_SECONDS = 0.5
"""How long a checkout of REST is known to run before it gets a mirror: most have ended by then, and need one write less."""
MAX_WRITERS = 32
"""How many writes are under way at once. On a busy API server each takes half a second: with 8 of them statuses came ever later,
since those who applied Checkouts had 32 requests under way.
"""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a resource should show."""

    status: dict[str, Any]
    digest: StatusDigest
    ended: bool
    failed: bool
    finished_at: float
    """Seconds since 1970; 0.0 while the checkout runs."""


class Projector:
    """Writes statuses and creates mirrors."""

    def __init__(
        self,
        cache: ResourceCache,
        cluster: Cluster,
        mirrors: MirrorPolicy,
        *,
        faults: Faults,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._cluster = cluster
        self._mirrors = mirrors
        self._faults = faults
        self._metrics = metrics
        self._writes = Writes(mirrors.writes, metrics, log)
        self._pending = PendingStates()
        self._writing: dict[NamespacedName, asyncio.Task[None]] = {}
        self._settled: dict[str, tuple[Resource, int]] = {}
        """By uid: a resource, and the hash of the checkout's state that it shows, so that a comparison has nothing to do."""
        self._written: dict[str, StatusDigest] = {}
        self._events = EventRecorder(cluster, self._writes.attempt, clock=clock, fraction=lambda: cache.shard.fraction)
        self._early: dict[str, SagaView] = {}
        """By uid: the latest state that came before it was known whether the resource is about that checkout."""
        self._skipped = RecentSet()
        self._ended = asyncio.Event()
        self._writers = asyncio.Semaphore(MAX_WRITERS)

    def enqueue(self, view: SagaView) -> None:
        """Have a checkout shown as it is now, by every resource that is about it."""
        for name in self._cache.names_for(view):
            self._enqueue(name, view)
        for uid in self._cache.unconfirmed_for(view):
            if uid not in self._early or self._early[uid].version < view.version:
                self._early[uid] = view

    def confirm(self, resource: Resource, view: SagaView) -> None:
        """Have a resource show its checkout, whose state was `view` when the resource was found to be about it.

        The stream of changes may have brought a later one before that answer came.
        """
        self._cache.confirm(resource)
        self.enqueue(view)
        if early := self._early.pop(resource.uid, None):
            self.enqueue(early)

    async def run(self) -> None:
        """Write what is pending: every `COALESCE_SECONDS`, and at once when a checkout has ended.

        A write that takes long delays no other resource.
        """
        while True:
            try:
                async with asyncio.timeout(COALESCE_SECONDS):
                    await self._ended.wait()
            except TimeoutError:
                pass  # nothing has ended meanwhile
            self._ended.clear()
            self._start_writes()

    async def flush(self) -> None:
        """Write all that is pending."""
        await asyncio.gather(*self._writing.values())
        self._start_writes(at_once=True)
        await asyncio.gather(*self._writing.values())

    async def refuse(self, resource: Resource, reason: str, message: str | None = None) -> None:
        """Show that a resource cannot become a checkout, with `message` instead of the reason's usual one."""
        status = refused(reason, resource.generation, resource.created, message or MESSAGES[reason])
        shown = _Shown(
            status,
            digest(status),
            ended=True,
            failed=True,
            finished_at=seconds(resource.created),
        )
        self._expect_changes(resource, shown.digest)
        with suppress(NotAnswered):  # the next comparison refuses it again
            await self._write(resource, shown)

    async def report_unanswered(self, resource: Resource, error: str) -> None:
        """Have an event say that a resource could not be started or cancelled, once that lasts."""
        await self._events.record_unanswered(resource, error)

    def answered(self, resource: Resource) -> None:
        """Record that the checkout service has answered for a resource."""
        self._events.answered(resource)

    async def repair(self, resource: Resource, view: SagaView) -> None:
        """Have a resource show its checkout, also where somebody has written another status."""
        settled = self._settled.get(resource.uid)
        if settled is not None and settled[0] is resource and settled[1] == hash(view):
            return
        wanted = digest(project(view, resource.generation))
        self._expect_changes(resource, wanted)
        if resource.status != wanted and resource.status.saga_version > view.version:
            with tracing.within(view.traceparent):
                await self._writes.attempt(
                    "clear", self._cluster.replace_status(resource.namespaced_name, {}, resource.uid)
                )
        self._enqueue(resource.namespaced_name, view)

    async def orphan(self, mirror: Resource) -> None:
        """Treat a mirror of a checkout that does not exist: it shows nothing, and its time counts from its creation."""
        if mirror.status != NOTHING_SHOWN:
            await self._writes.attempt("clear", self._cluster.replace_status(mirror.namespaced_name, {}, mirror.uid))
        created = seconds(mirror.created)
        self._cache.end(mirror, Ending(finished_at=created, ttl_from=created, failed=False))

    def retain(self, uids: Collection[str]) -> None:
        """Forget what is known of all other resources: they are gone."""
        self._written = {uid: status for uid, status in self._written.items() if uid in uids}
        self._settled = {uid: settled for uid, settled in self._settled.items() if uid in uids}
        self._early = {uid: view for uid, view in self._early.items() if uid in uids}
        self._events.retain(uids)

    def _enqueue(self, name: NamespacedName, view: SagaView) -> None:
        self._pending.add(name, view)
        if view.ended:
            self._ended.set()

    def _expect_changes(self, resource: Resource, wanted: StatusDigest) -> None:
        """Forget what was written where the resource does not show it: somebody has written another status."""
        if resource.status != wanted:
            self._written.pop(resource.uid, None)

    def _start_writes(self, *, at_once: bool = False) -> None:
        """Start a write for each pending name whose time has come. One that is being written waits until that write is over."""
        now = time.monotonic()
        for name, waiting in self._pending.waiting():
            is_early = now < waiting.not_before or (
                now - waiting.since < MIRROR_AFTER_SECONDS and self._may_end_first(name)
            )
            if name not in self._writing and (at_once or not is_early):
                self._pending.start(name)
                self._writing[name] = asyncio.create_task(self._show_latest(name))

    def _may_end_first(self, name: NamespacedName) -> bool:
        """Return whether a name is that of a mirror which is still to be created, of a checkout that runs."""
        view = self._pending[name]
        return not (view.from_resource or view.ended) and self._cache.get(name) is None

    async def _show_latest(self, name: NamespacedName) -> None:
        try:
            async with self._writers:
                view = self._pending.pop(name)  # only now: changes that came meanwhile need no write of their own
                with self._faults.isolated(str(name)), tracing.within(view.traceparent):
                    try:
                        await self._show(name, view)
                    except NotAnswered:
                        self._pending.retry(name, view)
                        return
                self._pending.written(name)
        finally:
            del self._writing[name]

    async def _show(self, name: NamespacedName, view: SagaView) -> None:
        resource = self._cache.get(name)
        if resource is None and not view.from_resource and name == self._cache.mirror_name(view.id):
            resource = await self._create_mirror(view)
        if resource is None or not self._cache.shows(resource, view):
            return
        status = project(view, resource.generation)
        shown = _Shown(status, digest(status), view.ended, view.failed, view.finished_ms / 1000)
        within_budget = resource.is_mirror and not view.ended  # an end is always shown
        if within_budget and self._needs_write(resource, shown) and not self._mirrors.writes.spend():
            self._pending.add(name, view)  # for the next round
            return
        await self._write(resource, shown)
        told = resource.is_mirror or await self._events.record_progress(resource, view)
        current = self._cache.find(resource.namespaced_name, resource.uid)
        reported = resource.is_mirror or not view.failed or self._events.has_recorded_failure(resource)
        if not (told and reported):
            return  # the next comparison comes back to it
        if current and current.generation == resource.generation and current.status == shown.digest:
            self._settled[resource.uid] = (current, hash(view))

    def _needs_write(self, resource: Resource, shown: _Shown) -> bool:
        return self._written.get(resource.uid, resource.status) != shown.digest

    async def _write(self, resource: Resource, shown: _Shown) -> None:
        """Report a failure, and write a status where it is needed. Raises NotAnswered."""
        if shown.failed and not resource.is_mirror:
            await self._events.record_failure(resource, shown.status)
        if self._needs_write(resource, shown):
            write = self._cluster.replace_status(resource.namespaced_name, shown.status, resource.uid)
            if not await self._writes.make("status", write):
                return
            self._written[resource.uid] = shown.digest
            self._cache.set_status(resource, shown.digest)
        if shown.ended:
            ttl_from = _ttl_from(resource, shown.finished_at, self._clock())
            self._cache.end(resource, Ending(shown.finished_at, ttl_from, shown.failed))

    async def _create_mirror(self, view: SagaView) -> Resource | None:
        """Create the mirror of a checkout. Returns None where it gets none, or where there is one already."""
        decision = self._mirrors.decide(view)
        if decision in LEFT_OUT and self._skipped.add((view.id, decision)):  # each is counted once for a reason
            self._metrics.skipped.labels(decision.value).inc()
        if decision is not Decision.CREATE:
            return None
        self._mirrors.creating += 1
        try:
            created = await self._writes.make("create", self._create(view))
        finally:
            self._mirrors.creating -= 1
        if not created:
            return None  # the watch will report the one that exists, and the comparison fills it in
        resource = parse(created)
        self._cache.put(resource)
        return resource

    async def _create(self, view: SagaView) -> Mapping[str, Any] | None:
        try:
            return await self._cluster.create(self._mirrors.body(view))
        except NamespaceGone:
            self._mirrors.namespace_gone()
            raise


def _ttl_from(resource: Resource, finished_at: float, now: float) -> float:
    """Return when a resource's time to live begins, in seconds since 1970: at the end of its checkout.

    A resource may show a purchase that ended before the resource was created. Its time begins when this process first
    shows that, so that it is seen also where no operator was there at its creation. No checkout ends after `now`, the API
    server's time, so that a database whose clock is ahead keeps nothing for longer.
    """
    created = seconds(resource.created)
    finished_at = min(finished_at, now)
    if resource.is_mirror:
        return max(finished_at, created)
    return finished_at if finished_at > created else now
