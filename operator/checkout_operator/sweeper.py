"""Deletes resources whose time to live is over. It looks at all of them, instead of one timer for each.

When a resource ended is what the checkout service says, in the cache's endings. No status is read: users may write those.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

import structlog

from checkout_operator.cache import Ending, ResourceCache
from checkout_operator.cluster import Cluster, ClusterUnavailable, Refused
from checkout_operator.config import Config
from checkout_operator.sharding import WHOLE, Shard
from checkout_operator.spec import Resource

INTERVAL_SECONDS = 1.0
DELETIONS = 16
"""How many deletions are under way at once: fewer than the writes of statuses, and enough to keep up with them. With 4 of them, ended
Checkouts piled up on a busy API server, and all that looks at every one of them made it busier.
"""


def expired(
    resources: Iterable[Resource], endings: Mapping[str, Ending], config: Config, now: float, shard: Shard = WHOLE
) -> list[Resource]:
    """Return the resources to delete: those whose time is over, and the oldest of too many mirrors of failures.

    `resources` are those of the shard, whose part of the limit counts. `endings` are by uid, `now` is in seconds since 1970. A
    resource without an ending still runs, or is not yet known to have ended.
    """
    over: list[Resource] = []
    failures: list[tuple[Ending, Resource]] = []
    for one in resources:  # in one pass: there may be ten thousand, and the event loop waits
        ending = endings.get(one.uid)
        if ending is None or one.deleting:
            continue
        failed_mirror = ending.failed and one.is_mirror  # one made while its checkout ran states the time of a success
        seconds = config.mirror_failure_ttl if failed_mirror else one.spec.ttl_seconds
        if ending.ttl_from + seconds <= now:
            over.append(one)
        elif failed_mirror:
            failures.append((ending, one))
    excess = max(0, len(failures) - shard.quota(config.mirror_max_failures))
    return over + _oldest(failures, excess)


class Sweeper:
    """Deletes resources after their time."""

    def __init__(
        self,
        cache: ResourceCache,
        cluster: Cluster,
        config: Config,
        log: structlog.stdlib.BoundLogger,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._cluster = cluster
        self._config = config
        self._log = log
        self._clock = clock
        self._places = asyncio.Semaphore(DELETIONS)

    async def run_once(self) -> int:
        """Delete what has expired. Returns how many that were; one that cannot be deleted stops none of the others."""
        endings = self._cache.endings()
        shard = self._cache.shard
        chosen = expired(self._cache.all(), endings, self._config, self._clock(), shard)
        mirrors = self._cache.mirrors()
        if len(mirrors) >= max(1, shard.quota(self._config.mirror_max_objects)):  # make room for mirrors of what runs
            uids = {one.uid for one in chosen}
            left = [one for one in mirrors if one.uid not in uids]
            chosen += _oldest([(endings[one.uid], one) for one in left if one.uid in endings], 1)
        return sum(await asyncio.gather(*(self._delete(one) for one in chosen)))

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await self.run_once()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _delete(self, resource: Resource) -> bool:
        try:
            async with self._places:
                found = await self._cluster.delete(resource.namespaced_name, resource.uid)
            if not found:
                self._cache.remove(resource)  # it is gone already, though the watch has not said so
        except (ClusterUnavailable, Refused) as error:
            self._log.warning("could not delete", name=str(resource.namespaced_name), error=str(error)[:300])
            return False
        return True


def _oldest(ended: list[tuple[Ending, Resource]], count: int) -> list[Resource]:
    return [one for _, one in sorted(ended, key=lambda pair: pair[0].finished_at)[:count]]
