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
from checkout_operator.spec import Resource

INTERVAL_SECONDS = 1.0


def expired(resources: Iterable[Resource], endings: Mapping[str, Ending], config: Config, now: float) -> list[Resource]:
    """Return the resources to delete: those whose time is over, and the oldest of too many mirrors of failures.

    `endings` are by uid, `now` is in seconds since 1970. A resource without an ending still runs, or is not yet known to
    have ended.
    """
    ended = [(endings[one.uid], one) for one in resources if one.uid in endings and not one.deleting]
    over = [one for ending, one in ended if ending.ttl_from + _time_to_live(one, ending, config) <= now]
    chosen = {one.uid for one in over}
    failures = [pair for pair in ended if _is_failed_mirror(pair[1], pair[0]) and pair[1].uid not in chosen]
    excess = max(0, len(failures) - config.mirror_max_failures)
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

    async def run_once(self) -> int:
        """Delete what has expired. Returns how many that were; one that cannot be deleted stops none of the others."""
        endings = self._cache.endings()
        chosen = expired(self._cache.all(), endings, self._config, self._clock())
        mirrors = self._cache.mirrors()
        if len(mirrors) >= max(1, self._config.mirror_max_objects):  # make room for the mirrors of what runs
            uids = {one.uid for one in chosen}
            left = [one for one in mirrors if one.uid not in uids]
            chosen += _oldest([(endings[one.uid], one) for one in left if one.uid in endings], 1)
        return sum([await self._delete(one) for one in chosen])

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await self.run_once()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _delete(self, resource: Resource) -> bool:
        try:
            if not await self._cluster.delete(resource.namespaced_name, resource.uid):
                self._cache.remove(resource)  # it is gone already, though the watch has not said so
        except (ClusterUnavailable, Refused) as error:
            self._log.warning("could not delete", name=str(resource.namespaced_name), error=str(error)[:300])
            return False
        return True


def _oldest(ended: list[tuple[Ending, Resource]], count: int) -> list[Resource]:
    return [one for _, one in sorted(ended, key=lambda pair: pair[0].finished_at)[:count]]


def _is_failed_mirror(resource: Resource, ending: Ending) -> bool:
    return resource.is_mirror and ending.failed


def _time_to_live(resource: Resource, ending: Ending, config: Config) -> float:
    """Return a resource's time to live in seconds. A mirror made while its checkout ran states that of a success."""
    return config.mirror_failure_ttl if _is_failed_mirror(resource, ending) else resource.spec.ttl_seconds
