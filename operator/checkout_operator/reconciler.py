"""Starts and cancels what resources ask for, and compares everything with the checkout service from time to time.

The watch may miss a change, a call may fail, somebody may write a status by hand: the comparison finds all of it.
"""

import asyncio
import time

import structlog

from checkout_operator.cache import ResourceCache
from checkout_operator.faults import Faults
from checkout_operator.mirrors import MIRROR_WITHIN_SECONDS
from checkout_operator.projector import Projector
from checkout_operator.reconcile import Action, decide
from checkout_operator.saga_client import KeyReused, SagaClient, SagaUnavailable, SpecRefused
from checkout_operator.spec import Resource
from checkout_operator.status import SagaView
from checkout_operator.telemetry import Metrics
from checkout_operator.workqueue import WorkQueue

WORKERS = 16
RECONNECT_SECONDS = 1.0
KEY_REUSED = "IdempotencyKeyReused"
INVALID_SPEC = "InvalidSpec"


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
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._sagas = sagas
        self._projector = projector
        self._faults = faults
        self._metrics = metrics
        self._log = log
        self._done: dict[str, Action] = {}
        """The last action that this process took for a resource, by uid."""

    async def work(self) -> None:
        """Reconcile one queued resource after the other, for ever."""
        while True:
            name = await self._queue.get()
            self._metrics.backlog.set(len(self._queue))
            reconciled = False
            with self._faults.isolated(name):
                reconciled = await self._try(name)
            if reconciled:
                self._queue.done(name)
            else:
                self._queue.retry(name)

    async def reconcile(self, name: str) -> None:
        """Do what a resource asks for. SagaUnavailable means that it is not known to be done."""
        resource = self._cache.get(name)
        if resource is None:
            return
        action = decide(resource, self._done.get(resource.uid))
        if action is Action.NOTHING:
            return
        call = self._sagas.cancel if action is Action.CANCEL else self._sagas.start
        try:
            view = await call(resource)
        except KeyReused:
            self._metrics.actions.labels(action.value, "key_reused").inc()
            await self._projector.refuse(resource, KEY_REUSED)
        except SpecRefused as error:
            self._metrics.actions.labels(action.value, "invalid").inc()
            await self._projector.refuse(resource, INVALID_SPEC, f"the checkout service refuses this spec: {error}")
        except SagaUnavailable:
            self._metrics.actions.labels(action.value, "unavailable").inc()
            raise
        else:
            self._metrics.actions.labels(action.value, "ok").inc()
            self._cache.confirm(resource)
            self._projector.enqueue(view)
        self._done[resource.uid] = action

    async def follow(self) -> None:
        """Show every change of a checkout as it comes. Opens the stream again when it breaks."""
        while True:
            try:
                async for view in self._sagas.follow():
                    self._projector.enqueue(view)
            except SagaUnavailable as error:
                self._log.warning("the stream of changes broke", error=str(error)[:300])
            await asyncio.sleep(RECONNECT_SECONDS)

    async def compare(self) -> None:
        """Compare every resource, and every running checkout of REST, with the checkout service."""
        resources = self._cache.all()
        uids = {one.uid for one in resources}
        self._done = {uid: action for uid, action in self._done.items() if uid in uids}
        self._projector.retain(uids)
        for resource, view in zip(resources, await self._sagas.get_for(resources), strict=True):
            with self._faults.isolated(resource.name):
                await self._compare_one(resource, view)
        for view in await self._sagas.list_rest(MIRROR_WITHIN_SECONDS):
            self._projector.enqueue(view)
        mirrors = len(self._cache.mirrors())
        self._metrics.resources.labels("mirror").set(mirrors)
        self._metrics.resources.labels("operator").set(len(resources) - mirrors)
        self._metrics.compared_at.set(time.time())

    async def run_compare(self, every: float) -> None:
        """Compare for ever, with so many seconds between."""
        while True:
            try:
                await self.compare()
            except SagaUnavailable as error:
                self._log.warning("could not compare", error=str(error)[:300])
            await asyncio.sleep(every)

    async def _try(self, name: str) -> bool:
        try:
            await self.reconcile(name)
        except SagaUnavailable as error:
            self._log.warning("will be tried again", name=name, error=str(error)[:300])
            return False
        return True

    async def _compare_one(self, resource: Resource, view: SagaView | SagaUnavailable | None) -> None:
        if isinstance(view, SagaUnavailable):
            self._log.warning("could not compare a resource", name=resource.name, error=str(view)[:300])
        elif view is None and resource.is_mirror:
            await self._projector.orphan(resource)
        elif view is not None and self._cache.is_confirmed(resource):
            await self._projector.repair(resource, view)
        elif view is not None and resource.uid in self._done:
            await self._projector.refuse(resource, KEY_REUSED)
        else:
            self._done.pop(resource.uid, None)
            self._queue.add(resource.name)
