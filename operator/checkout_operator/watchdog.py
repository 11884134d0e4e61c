"""Notices a watch that has gone silent: its connection may look alive while no event comes.

From time to time the watchdog compares a list from the API server with what the watch has reported. A resource that is
listed twice in a row and was not reported means that the watch is dead. Then this process ends, and the next one begins
with a new watch; nothing is lost. A resource that is known and missing from two lists in a row is deleted: a watch that
had to reconnect does not report what was deleted meanwhile.

A namespace that cannot be listed says nothing, and hinders none of the others. One that may not be listed any more counts as
empty: with a namespace that is deleted go the operator's rights in it. The right to list all namespaces goes with none of them.
"""

import asyncio

import structlog

from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.cluster import Cluster, ClusterUnavailable, Forbidden, Refused
from checkout_operator.scope import Scope
from checkout_operator.sharding import key_of
from checkout_operator.spec import InvalidSpec, parse


class WatchDied(Exception):
    """The watch did not report a resource that exists."""


class Watchdog:
    """Compares what exists with what is known."""

    def __init__(
        self, cache: ResourceCache, cluster: Cluster, scope: Scope, claims: Claims, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._cache = cache
        self._cluster = cluster
        self._scope = scope
        self._claims = claims
        self._log = log
        self._unreported: set[tuple[str, int]] = set()
        self._absent: set[str] = set()

    async def run_once(self) -> None:
        """Compare once. Raises WatchDied when a resource was unreported at the last comparison and still is.

        A comparison during which the shard changes says nothing: the next one starts afresh.
        """
        shard = self._cache.shard
        unreported, self._unreported = self._unreported, set()
        absent, self._absent = self._absent, set()
        listed: set[tuple[str, int]] = set()
        unseen: set[str | None] = set()
        for namespace in self._scope.watches:
            try:
                listed |= await self._list(namespace)
            except (ClusterUnavailable, Refused) as error:
                if namespace is None or not isinstance(error, Forbidden):
                    unseen.add(namespace)
                self._log.warning("could not check the watch", namespace=namespace, error=str(error)[:300])
        if self._cache.shard != shard:
            return
        self._unreported = listed - self._cache.generations()
        if missed := unreported & self._unreported:
            raise WatchDied(f"the watch did not report {len(missed)} resources; a new process is needed")
        listed_uids = {uid for uid, _ in listed}
        missing = [
            one
            for one in self._cache.all()
            if one.uid not in listed_uids and not unseen.intersection({one.namespace, None})
        ]
        for one in missing:
            if one.uid in absent:
                self._cache.remove(one)
        self._absent = {one.uid for one in missing} - absent

    async def _list(self, namespace: str | None) -> set[tuple[str, int]]:
        """Return (uid, generation) of what a watch should have reported; None is the watch of all namespaces."""
        listed = set()
        async for body in self._cluster.list_all(namespace, self._scope.selector):
            if not self._cache.owns(key_of(body)):
                continue
            try:
                resource = parse(body)
            except InvalidSpec:
                continue  # the watch skips it too
            if self._scope.includes(body) and self._claims.holds(resource.namespace):
                listed.add((resource.uid, resource.generation))
        return listed

    async def run(self, every: float) -> None:
        """Compare for ever, with so many seconds between. Raises WatchDied."""
        while True:
            await asyncio.sleep(every)
            await self.run_once()
