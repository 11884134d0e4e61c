"""Does what resources want, and compares everything with the checkout service from time to time.

The watch may lie, calls may fail, somebody may write a status by hand: the comparison finds it all, whatever it was.
"""

import asyncio
import time

import structlog

from checkout_operator.backlog import Backlog
from checkout_operator.live import Live
from checkout_operator.projector import MIRROR_WITHIN_SECONDS, Projector
from checkout_operator.reconcile import Action, decide
from checkout_operator.saga_client import KeyReused, SagaClient, SagaUnavailable, SpecRefused
from checkout_operator.telemetry import Metrics

WORKERS = 16
BREAK_SECONDS = 1.0
KEY_REUSED = "IdempotencyKeyReused"
INVALID_SPEC = "InvalidSpec"


class Reconciler:
    """Brings the checkout service to where the resources want it."""

    def __init__(
        self,
        live: Live,
        backlog: Backlog,
        sagas: SagaClient,
        projector: Projector,
        *,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._live = live
        self._backlog = backlog
        self._sagas = sagas
        self._projector = projector
        self._metrics = metrics
        self._log = log
        self._done: dict[str, Action] = {}

    async def work(self) -> None:
        """Look at one resource after the other."""
        while True:
            name = await self._backlog.take()
            self._metrics.backlog.set(len(self._backlog))
            try:
                await self.look_at(name)
            except SagaUnavailable as error:
                self._log.warning("will be tried again", name=name, error=str(error)[:300])
                self._backlog.failed(name)
            else:
                self._backlog.done(name)

    async def look_at(self, name: str) -> None:
        """Do what a resource wants; SagaUnavailable: not known to be done."""
        resource = self._live.get(name)
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
            self._live.confirm(resource)
            self._projector.offer(view)
        self._done[resource.uid] = action

    async def follow(self) -> None:
        """Show every change of a checkout as it comes, and take the stream up again when it breaks."""
        while True:
            try:
                async for view in self._sagas.follow():
                    self._projector.offer(view)
            except SagaUnavailable as error:
                self._log.warning("the stream of changes broke", error=str(error)[:300])
            await asyncio.sleep(BREAK_SECONDS)

    async def compare(self) -> None:
        """Hold every resource, and every running checkout of the REST interface, against the checkout service."""
        resources = self._live.all()
        there = {one.uid for one in resources}
        self._done = {uid: action for uid, action in self._done.items() if uid in there}
        self._projector.keep(there)
        for resource, view in zip(resources, await self._sagas.of_resources(resources), strict=True):
            if view is not None and self._live.is_confirmed(resource):
                await self._projector.repair(resource, view)
            elif view is not None and resource.uid in self._done:
                await self._projector.refuse(resource, KEY_REUSED)
            elif not resource.is_mirror:
                self._done.pop(resource.uid, None)
                self._backlog.add(resource.name)
        for view in await self._sagas.by_rest(MIRROR_WITHIN_SECONDS):
            self._projector.offer(view)
        mirrors = len(self._live.mirrors())
        self._metrics.resources.labels("mirror").set(mirrors)
        self._metrics.resources.labels("operator").set(len(resources) - mirrors)
        self._metrics.compared_at.set(time.time())

    async def compare_on(self, every: float) -> None:
        """Compare again and again."""
        while True:
            try:
                await self.compare()
            except SagaUnavailable as error:
                self._log.warning("could not compare", error=str(error)[:300])
            await asyncio.sleep(every)
