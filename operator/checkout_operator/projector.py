"""Shows checkouts as resources: the latest state of each, coalesced, and within a budget where it is a mirror.

Writes that fail are repeated by the full comparison, so nothing here keeps a queue of its own, but for the events that
could not be told: no status shows that they are missing.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

import structlog

from checkout_operator.cluster import GROUP, VERSION, Cluster, ClusterUnavailable, Refused
from checkout_operator.config import Config
from checkout_operator.live import Live, mirror_name
from checkout_operator.recent import Recent
from checkout_operator.spec import Resource, parse
from checkout_operator.status import MESSAGES, SagaView, differs, patch, project, refused
from checkout_operator.telemetry import Metrics

COALESCE_SECONDS = 0.25
MIRROR_WITHIN_SECONDS = 30.0
"""How long after its end a checkout may still be given a mirror."""
WRITERS = 8


class Projector:
    """Writes statuses, and makes mirrors."""

    def __init__(
        self, live: Live, cluster: Cluster, config: Config, metrics: Metrics, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._live = live
        self._cluster = cluster
        self._config = config
        self._metrics = metrics
        self._log = log
        self._pending: dict[str, SagaView] = {}
        self._written: dict[str, Mapping[str, Any]] = {}
        self._untold: set[str] = set()
        """The uids of those whose failure could not be told of yet."""
        self._skipped = Recent()
        self._changed = asyncio.Event()
        self._tokens = config.mirror_max_writes_per_second
        self._filled_at = time.monotonic()
        self._writing = asyncio.Semaphore(WRITERS)
        self._making = 0
        """Mirrors that are being made, which the cap counts too."""

    def offer(self, view: SagaView) -> None:
        """Have a checkout shown as it is now."""
        for name in self._live.showing(view):
            known = self._pending.get(name)
            if known is None or known.version <= view.version:
                self._pending[name] = view
        if view.ended:
            self._changed.set()

    async def run(self) -> None:
        """Write what is pending, every moment, or at once where something has ended."""
        while True:
            try:
                async with asyncio.timeout(COALESCE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass  # the moment is over
            self._changed.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all that is pending."""
        pending, self._pending = self._pending, {}
        await asyncio.gather(*(self._show(name, view) for name, view in pending.items()))

    async def refuse(self, resource: Resource, reason: str, message: str | None = None) -> None:
        """Show that a resource never became a checkout, with the usual message of the reason or another one."""
        wanted = refused(reason, resource.generation, resource.created, message or MESSAGES[reason])
        if differs(resource.status, wanted):
            self._written.pop(resource.uid, None)
        await self._write(resource, wanted, ended=True)

    async def repair(self, resource: Resource, view: SagaView) -> None:
        """Make a status what its checkout says, also where somebody has written another."""
        wanted = project(view, resource.generation)
        if not differs(resource.status, wanted):
            if resource.uid in self._untold:
                await self._tell(resource, wanted)
            return
        self._written.pop(resource.uid, None)
        if int(resource.status.get("sagaVersion") or 0) > view.version:
            await self._call("clear", self._cluster.patch_status(resource.name, None))
        self.offer(view)

    def keep(self, uids: Collection[str]) -> None:
        """Let go of what is known of all other resources: they are gone."""
        self._written = {uid: status for uid, status in self._written.items() if uid in uids}
        self._untold &= set(uids)

    async def _show(self, name: str, view: SagaView) -> None:
        async with self._writing:
            resource = self._live.get(name)
            if resource is None and not view.from_resource:
                resource = await self._mirror(view)
            if resource is None:
                return
            if resource.is_mirror and not view.ended and not self._spend():
                self._pending.setdefault(name, view)
                return
            await self._write(resource, project(view, resource.generation), ended=view.ended)

    async def _write(self, resource: Resource, wanted: dict[str, Any], *, ended: bool) -> None:
        shown = not differs(self._written.get(resource.uid, resource.status), wanted)
        if shown and resource.uid not in self._untold:
            return
        if ended:  # before the status: the operator that comes next finds that written, and tells nothing
            await self._tell(resource, wanted)
        if shown:
            return
        if await self._call("status", self._cluster.patch_status(resource.name, patch(wanted))):
            self._written[resource.uid] = wanted
            if ended:
                self._live.end_shown(resource, time.time())

    async def _tell(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Tell of a failure by an event, and of nothing else."""
        if status["phase"] != "Failed" or resource.is_mirror:
            return
        top = status["conditions"][0]
        message = MESSAGES.get(top["reason"], top["message"])
        told = await self._call(
            "event",
            self._cluster.warn(resource.name, resource.uid, top["reason"], message, str(status.get("finishedAt", ""))),
        )
        if told:
            self._untold.discard(resource.uid)
        else:
            self._untold.add(resource.uid)

    async def _mirror(self, view: SagaView) -> Resource | None:
        name = mirror_name(view.id)
        if (why := self._not_mirrored(view, name)) is not None:
            if why and self._skipped.add((view.id, why)):  # it is offered again and again
                self._metrics.skipped.labels(why).inc()
            return None
        ttl = self._config.mirror_failure_ttl if view.reason else self._config.mirror_success_ttl
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Checkout",
            "metadata": {"name": name, "labels": {"cartwright.dev/origin": "rest"}},
            "spec": {
                "userId": view.user_id,
                "managedBy": "mirror",
                "checkoutId": view.id,
                "ttlSecondsAfterFinished": int(ttl),
            },
        }
        self._making += 1
        try:
            made = await self._call("create", self._cluster.create(body))
        finally:
            self._making -= 1
        if not made:
            return None  # it is there already: the watch will tell, and the comparison fills it in
        resource = parse(made)
        self._live.put(resource)
        return resource

    def _not_mirrored(self, view: SagaView, name: str) -> str | None:
        """Say why a checkout is given no mirror; empty: no longer wanted, None: it is given one."""
        mode = self._config.mirror_mode
        if mode == "None" or (mode == "Failures" and not (view.ended and view.reason)):
            return ""
        if view.ended:
            late = time.time() - view.finished_ms / 1000 > MIRROR_WITHIN_SECONDS
            if late or self._live.was_deleted(name):
                return ""
        if len(self._live.mirrors()) + self._making >= self._config.mirror_max_objects:
            return "objects"
        return None if self._spend() else "rate"

    def _spend(self) -> bool:
        """Take one write out of the mirrors' budget."""
        now = time.monotonic()
        rate = self._config.mirror_max_writes_per_second
        self._tokens = min(rate, self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    async def _call(self, verb: str, call: Any) -> Any:
        """Do a write; None where it failed, which the next comparison finds."""
        try:
            done = await call
        except (ClusterUnavailable, Refused) as error:
            self._metrics.writes.labels(verb, type(error).__name__).inc()
            self._log.warning("a write failed", verb=verb, error=str(error)[:300])
            return None
        self._metrics.writes.labels(verb, "ok").inc()
        return done
