"""Gives up what has become another member's, and takes over what has become this operator's, when the members change.

The watch reports a change of a resource once, and only the operator that owns it then keeps it. So what is taken over is
listed. The watch may report the same meanwhile: what it has reported is newer, and stays.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog

from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.cluster import Cluster, ClusterUnavailable, Forbidden, Refused
from checkout_operator.health import Health
from checkout_operator.reconciler import Reconciler
from checkout_operator.scope import Scope
from checkout_operator.sharding import Shard, key_of
from checkout_operator.spec import InvalidSpec, parse
from checkout_operator.telemetry import Metrics
from checkout_operator.workqueue import WorkQueue

RETRY_SECONDS = 1.0
LEFT_RETRY_SECONDS = 10.0
"""How long until a namespace is tried again that may not be listed or claimed. It may be gone, and stay so."""


class Rebalancer:
    """Keeps the cache in step with the shard."""

    def __init__(
        self,
        cache: ResourceCache,
        queue: WorkQueue,
        cluster: Cluster,
        reconciler: Reconciler,
        health: Health,
        *,
        scope: Scope,
        claims: Claims,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._cluster = cluster
        self._reconciler = reconciler
        self._health = health
        self._scope = scope
        self._claims = claims
        self._metrics = metrics
        self._log = log
        self._left: set[str | None] = set()
        """The namespaces that could not be taken over from at the last try, of which the log tells already."""
        self._to_take_over = asyncio.Event()
        claims.on_gain = self.take_over_soon

    def change(self, shard: Shard) -> None:
        """Work on this shard from now on: give up at once what is not in it, and have `run` take over what is."""
        before, self._cache.shard = self._cache.shard, shard
        self._health.shard = shard
        self._metrics.members.set(len(shard.members) if shard.is_member else 0)
        if released := self._cache.release_others():
            self._reconciler.retain()
            self._log.info("gave up what is another member's", resources=released)
        if shard.may_gain(before):
            self.take_over_soon()

    def take_over_soon(self) -> None:
        """Have `run` take over what has become this operator's in any way."""
        self._to_take_over.set()

    async def run(self) -> None:
        """Take over for ever, whenever there may be something."""
        left: Sequence[str | None] = ()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEFT_RETRY_SECONDS if left else None):
                    await self._to_take_over.wait()
                    left = ()
            self._to_take_over.clear()
            try:
                left = await self.take_over(left or self._scope.watches)
            except (ClusterUnavailable, Refused) as error:
                self._log.warning("could not take over yet", error=str(error)[:300])
                self._to_take_over.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def take_over(self, namespaces: Sequence[str | None]) -> Sequence[str | None]:
        """List what is this operator's in some namespaces, and queue what it does not know yet; None is all namespaces.

        Returns the namespaces that may not be listed, as one that is gone, or of which something could not be claimed.
        """
        began, taken, left = time.monotonic(), 0, list[str | None]()
        for namespace in namespaces:
            try:
                found, trouble = await self._take_over_from(namespace)
            except Forbidden as error:
                found, trouble = 0, error
            taken += found
            if trouble is None:
                self._left.discard(namespace)
                continue
            left.append(namespace)
            if namespace not in self._left:  # it is tried for ever
                self._left.add(namespace)
                self._log.warning("could not take over all yet", namespace=namespace, error=str(trouble)[:300])
        if taken or len(left) < len(namespaces):
            self._reconciler.compare_soon()  # checkouts of REST, too, have changed hands
            self._log.info("took over", resources=taken, seconds=round(time.monotonic() - began, 3))
        return left

    async def _take_over_from(self, namespace: str | None) -> tuple[int, ClusterUnavailable | None]:
        """Take over from one namespace; None is all of them. Returns how many, and why a namespace could not be claimed."""
        taken, unclaimed = 0, dict[str, ClusterUnavailable]()
        async for body in self._cluster.list_all(namespace, self._scope.selector):
            if not (self._cache.owns(key_of(body)) and self._scope.includes(body)):  # the members may change meanwhile
                continue
            try:
                resource = parse(body)
            except InvalidSpec as error:
                self._log.warning("skipped a resource that is not valid", error=str(error))
                continue
            if resource.namespace in unclaimed:  # asked once, however many are in it
                continue
            try:
                held = await self._claims.try_hold(resource.namespace)
            except ClusterUnavailable as error:
                unclaimed[resource.namespace] = error
                continue
            if held and self._cache.adopt(resource):
                taken += 1
                self._queue.add(resource.namespaced_name)
                self._log.debug("took over a resource", name=str(resource.namespaced_name), uid=resource.uid)
        return taken, next(iter(unclaimed.values()), None)
