"""Deletes what has been finished for long enough. One look at all of them, not a timer for each."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

import structlog

from checkout_operator.cluster import Cluster, ClusterUnavailable, Refused
from checkout_operator.config import Config
from checkout_operator.live import Live
from checkout_operator.spec import Resource

EVERY_SECONDS = 1.0


def finished_at(resource: Resource) -> float | None:
    """Give when a resource's checkout ended, in seconds since 1970; None while it runs.

    A time that somebody wrote by hand and that cannot be read is none: the comparison puts it right.
    """
    try:
        return _seconds(str(resource.status.get("finishedAt") or ""))
    except ValueError:
        return None


def due(resources: Iterable[Resource], config: Config, now: float, shown: Mapping[str, float]) -> list[Resource]:
    """Say which resources have had their time, and which mirrors are too many: the oldest finished ones go first.

    A resource under a key that bought long ago is shown for its whole time too: that counts from its own creation, or
    from when its end was shown, by uid in `shown`, where no operator was there to show it sooner.
    """
    ended = [(at, one) for one in resources if not one.deleting and (at := finished_at(one)) is not None]
    over = [
        one
        for at, one in ended
        if max(at, _seconds(one.created), shown.get(one.uid, 0.0)) + _time_to_live(one, config) <= now
    ]
    gone = {one.uid for one in over}
    left = sorted(
        ((at, one) for at, one in ended if _failed_mirror(one) and one.uid not in gone), key=lambda pair: pair[0]
    )
    over += [one for _, one in left[: max(0, len(left) - config.mirror_max_failures)]]
    return over


class Sweeper:
    """Deletes resources after their time."""

    def __init__(self, live: Live, cluster: Cluster, config: Config, log: structlog.stdlib.BoundLogger) -> None:
        self._live = live
        self._cluster = cluster
        self._config = config
        self._log = log

    async def run_once(self) -> int:
        """Delete what is due, and give how many that was; one that may not be deleted stops none of the others."""
        gone = due(self._live.all(), self._config, time.time(), self._live.ends_shown())
        mirrors = self._live.mirrors()
        if len(mirrors) >= max(1, self._config.mirror_max_objects):  # room for those that run
            chosen = {one.uid for one in gone}
            others = [one for one in mirrors if not one.deleting and one.uid not in chosen]
            ended = [one for one in others if finished_at(one) is not None]
            gone += sorted(ended, key=lambda one: finished_at(one) or 0.0)[:1]
        return sum([await self._delete(one) for one in gone])

    async def _delete(self, resource: Resource) -> bool:
        try:
            if not await self._cluster.delete(resource.name, resource.uid):
                self._live.drop(resource)  # it is gone, though the watch has not told
        except (ClusterUnavailable, Refused) as error:
            self._log.warning("could not delete", name=resource.name, error=str(error)[:300])
            return False
        return True

    async def run(self) -> None:
        """Sweep again and again."""
        while True:
            await self.run_once()
            await asyncio.sleep(EVERY_SECONDS)


def _failed_mirror(resource: Resource) -> bool:
    return resource.is_mirror and resource.status.get("phase") == "Failed"


def _time_to_live(resource: Resource, config: Config) -> float:
    """Give a resource's time in seconds; a mirror that was made while its checkout ran says that of a success."""
    return config.mirror_failure_ttl if _failed_mirror(resource) else resource.spec.ttl_seconds


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
