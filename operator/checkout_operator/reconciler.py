"""Starts and cancels what resources ask for, and compares everything with the checkout service from time to time.

The watch may miss a change, a call may fail, somebody may write a status by hand: the comparison finds all of it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from checkout_operator.cache import ResourceCache
from checkout_operator.faults import Faults
from checkout_operator.mirrors import MIRROR_WITHIN_SECONDS
from checkout_operator.projector import Projector
from checkout_operator.reconcile import Action, decide
from checkout_operator.saga_client import KeyReused, Outcome, SagaClient, SagaUnavailable, SpecRefused
from checkout_operator.spec import NamespacedName, Resource
from checkout_operator.status import SagaView
from checkout_operator.telemetry import Metrics
from checkout_operator.workqueue import WorkQueue

WORKERS = 4
"""How many calls to the checkout service may be under way: one that hangs does not stop the others."""
BATCH = 50
"""The most resources in one call. Those that wait while calls are under way ride together in the next one."""
RECONNECT_SECONDS = 1.0
COMPARE_PAUSE_SECONDS = 2.0
"""The shortest pause between two comparisons: after one that failed, or when the stream of changes broke."""
COMPARE_SHARE = 0.25
"""Of the time. To compare ten thousand on a busy machine takes long; without a bound it would do little else, and so make it busy."""
KEY_REUSED = "IdempotencyKeyReused"
INVALID_SPEC = "InvalidSpec"


def rest_after(took: float, every: float) -> float:
    """Return how long to rest after a comparison that took so long, where `every` is the usual rest. All in seconds."""
    return max(every, took * (1 / COMPARE_SHARE - 1))


class Reconciler:
    """Brings the checkout service to what the resources ask for."""

    def __init__(
        self,
        cache: ResourceCache,
        queue: WorkQueue,
        sagas: SagaClient,
        projector: Projector,
        *,
        faults: Faults,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._queue = queue
        self._sagas = sagas
        self._projector = projector
        self._faults = faults
        self._metrics = metrics
        metrics.backlog.set_function(queue.__len__)
        self._log = log
        self._refused: dict[str, str] = {}
        """Why the checkout service refuses the spec of a resource, by uid. A spec cannot be changed, so it is not asked again."""
        self._unanswered: set[NamespacedName] = set()
        """The names whose last call had no answer. They are tried again as soon as the service answers anything."""
        self._compare_soon = asyncio.Event()

    async def work(self) -> None:
        """Reconcile queued resources for ever, as many at a time as wait."""
        while True:
            names = await self._queue.get(BATCH)
            failed = set(names)
            with self._faults.isolated(", ".join(map(str, names))):
                failed = await self.reconcile(names)
            for name in names:
                if name in failed:
                    self._queue.retry(name)
                else:
                    self._queue.done(name)

    async def reconcile(self, names: Sequence[NamespacedName]) -> set[NamespacedName]:
        """Do what resources ask for, each on its own account. Returns the names to try again."""
        wanted: dict[Action, list[Resource]] = {}
        for name in names:
            if resource := self._cache.get(name):
                wanted.setdefault(decide(resource, self._cache.last_action(resource)), []).append(resource)
        wanted.pop(Action.NOTHING, None)
        failed: set[NamespacedName] = set()
        for action, resources in wanted.items():
            failed |= await self._act(action, resources)
        return failed

    async def follow(self) -> None:
        """Show every change of a checkout as it comes. Opens the stream again when it breaks."""
        while True:
            try:
                async for view in self._sagas.follow():
                    self._retry_unanswered()
                    self._projector.enqueue(view)
            except SagaUnavailable as error:
                self._log.warning("the stream of changes broke", error=str(error)[:300])
            await asyncio.sleep(RECONNECT_SECONDS)
            self._compare_soon.set()  # what changed meanwhile may have been missed

    def compare_soon(self) -> None:
        """Have everything compared as soon as may be, instead of when it is time."""
        self._compare_soon.set()

    def retain(self) -> Sequence[Resource]:
        """Forget what is known of resources that are not in the cache. Returns those that are."""
        resources = self._cache.all()
        uids = {one.uid for one in resources}
        self._refused = {uid: message for uid, message in self._refused.items() if uid in uids}
        self._projector.retain(uids)
        return resources

    async def compare(self) -> None:
        """Compare every resource, and every running checkout of REST, with the checkout service."""
        resources = self.retain()
        # A page at a time: thousands of resources must neither hold up the events and the health page nor be in memory at once.
        for start in range(0, len(resources), BATCH):
            page = resources[start : start + BATCH]
            for resource, view in zip(page, await self._sagas.get_for(page), strict=True):
                with self._faults.isolated(str(resource.namespaced_name)):
                    await self._compare_one(resource, view)
        await self._compare_rest()
        self._retry_unanswered()
        mirrors = sum(one.is_mirror for one in resources)
        self._metrics.resources.labels("mirror").set(mirrors)
        self._metrics.resources.labels("operator").set(len(resources) - mirrors)
        self._metrics.compared_at.set(self._clock())

    async def _compare_rest(self) -> None:
        """Have every checkout of REST shown that runs or has just ended."""
        cursor: str | None = None
        while True:
            page = await self._sagas.list_rest(MIRROR_WITHIN_SECONDS, cursor)
            for view in page.views:
                self._projector.enqueue(view)
            cursor = page.next_cursor
            if cursor is None:
                return

    async def run_compare(self, every: float) -> None:
        """Compare for ever, with so many seconds between; sooner where one failed or the stream broke, later where one takes long."""
        pause, loop = min(every, COMPARE_PAUSE_SECONDS), asyncio.get_running_loop()
        while True:
            self._compare_soon.clear()
            began = loop.time()
            try:
                await self.compare()
            except SagaUnavailable as error:
                self._log.warning("could not compare", error=str(error)[:300])
                self._compare_soon.set()
            took = loop.time() - began
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(rest_after(took, every) - pause):
                    await self._compare_soon.wait()
            except TimeoutError:
                pass  # it is time anyway

    async def _act(self, action: Action, resources: Sequence[Resource]) -> set[NamespacedName]:
        """Make a call for resources, and record what comes of it. Returns the names to try again."""
        try:
            outcomes = await self._call(action, resources)
        except Exception:
            if len(resources) > 1:  # one of them may be the cause: each goes alone, and the others succeed
                return set().union(*[await self._act(action, [one]) for one in resources])
            with self._faults.isolated(str(resources[0].namespaced_name)):
                raise
            return {resources[0].namespaced_name}
        concluded = await asyncio.gather(
            *(self._conclude(action, *pair) for pair in zip(resources, outcomes, strict=True))
        )
        if errors := [one for one in outcomes if isinstance(one, SagaUnavailable)]:  # one line, however many wait
            self._log.warning("will be tried again", resources=len(errors), error=str(errors[0])[:300])
        return {one.namespaced_name for one, done in zip(resources, concluded, strict=True) if not done}

    async def _call(self, action: Action, resources: Sequence[Resource]) -> Sequence[Outcome]:
        """Make the call for resources. Where it has no answer, that is the outcome of each."""
        call = self._sagas.cancel if action is Action.CANCEL else self._sagas.start
        names = {one.namespaced_name for one in resources}
        try:
            outcomes = await call(resources)
        except SagaUnavailable as error:
            self._unanswered |= names
            return [error] * len(resources)
        self._unanswered -= names
        self._retry_unanswered()
        return outcomes

    def _retry_unanswered(self) -> None:
        """Try at once what had no answer: the service answers again."""
        if self._unanswered:
            unanswered, self._unanswered = self._unanswered, set()
            for name in unanswered:
                self._queue.add(name)

    async def _conclude(self, action: Action, resource: Resource, outcome: Outcome) -> bool:
        """Record and show an outcome. Returns whether the resource needs no further try."""
        with self._faults.isolated(str(resource.namespaced_name)):
            if isinstance(outcome, SagaUnavailable):
                self._metrics.actions.labels(action.value, "unavailable").inc()
                await self._projector.report_unanswered(resource, str(outcome))
                return False
            self._projector.answered(resource)
            if isinstance(outcome, KeyReused):
                self._metrics.actions.labels(action.value, "key_reused").inc()
                await self._projector.refuse(resource, KEY_REUSED)
            elif isinstance(outcome, SpecRefused):
                self._metrics.actions.labels(action.value, "invalid").inc()
                self._refused[resource.uid] = f"the checkout service refuses this spec: {outcome}"
                await self._projector.refuse(resource, INVALID_SPEC, self._refused[resource.uid])
            else:
                self._metrics.actions.labels(action.value, "ok").inc()
                self._projector.confirm(resource, outcome)
            self._cache.record_action(resource, action)
            return True
        return False

    async def _compare_one(self, resource: Resource, view: SagaView | SagaUnavailable | None) -> None:
        if isinstance(view, SagaUnavailable):
            self._log.warning("could not compare a resource", name=str(resource.namespaced_name), error=str(view)[:300])
        elif view is None and resource.is_mirror:
            await self._projector.orphan(resource)
        elif view is not None and self._cache.is_confirmed(resource):
            await self._projector.repair(resource, view)
        elif resource.uid in self._refused:
            await self._projector.refuse(resource, INVALID_SPEC, self._refused[resource.uid])
        elif view is not None and self._cache.last_action(resource) is not None:
            await self._projector.refuse(resource, KEY_REUSED)
        else:
            self._cache.forget_action(resource)
            self._queue.add(resource.namespaced_name)
