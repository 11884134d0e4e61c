"""Notices a watch that has gone silent: its connection may seem to live while nothing comes.

What the API server lists is held against what the watch has told of, from time to time. What is missing twice in a row
was never told: then this process ends, and the next one begins with a watch of its own. Nothing is lost by that.
"""

import asyncio

import structlog

from checkout_operator.cluster import Cluster, ClusterUnavailable, Refused
from checkout_operator.live import Live
from checkout_operator.spec import InvalidSpec, parse


class WatchDied(Exception):
    """The watch has not told of what is there."""


class Watchdog:
    """Holds what is there against what is known."""

    def __init__(self, live: Live, cluster: Cluster, log: structlog.stdlib.BoundLogger) -> None:
        self._live = live
        self._cluster = cluster
        self._log = log
        self._odd: frozenset[tuple[str, int]] = frozenset()

    async def run_once(self) -> None:
        """Look once; WatchDied where something that is there is not known, or the reverse, as at the last look."""
        listed = set()
        for body in await self._cluster.every():
            try:
                resource = parse(body)
            except InvalidSpec:
                continue  # the watch passes it over too
            listed.add((resource.uid, resource.generation))
        before, self._odd = self._odd, self._live.generations() ^ listed
        if missed := before & self._odd:
            raise WatchDied(
                f"the watch did not tell of {len(missed)} resources or of their end; a new process is needed"
            )

    async def run(self, every: float) -> None:
        """Look again and again; WatchDied ends it."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.run_once()
            except (ClusterUnavailable, Refused) as error:
                self._log.warning("could not look after the watch", error=str(error)[:300])
