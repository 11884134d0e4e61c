"""Notices a watch that has gone silent: its connection may seem to live while nothing comes.

What the API server lists is held against what the watch has told of, from time to time. What is there and not known
twice in a row was never told: then this process ends, and the next one begins with a watch of its own. Nothing is lost
by that. What is known and not there twice in a row is gone, and is let go of: a healthy watch that had to begin anew
does not tell of what was deleted meanwhile.
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
        self._untold: set[tuple[str, int]] = set()
        self._absent: set[str] = set()

    async def run_once(self) -> None:
        """Look once; WatchDied where something that is there is not known, as at the last look.

        A look that fails says nothing, and the next one begins anew.
        """
        untold, self._untold = self._untold, set()
        absent, self._absent = self._absent, set()
        listed = set()
        async for body in self._cluster.every():
            try:
                resource = parse(body)
            except InvalidSpec:
                continue  # the watch passes it over too
            listed.add((resource.uid, resource.generation))
        self._untold = listed - self._live.generations()
        if missed := untold & self._untold:
            raise WatchDied(f"the watch did not tell of {len(missed)} resources; a new process is needed")
        there = {uid for uid, _ in listed}
        missing = [one for one in self._live.all() if one.uid not in there]
        for one in missing:
            if one.uid in absent:
                self._live.drop(one)
        self._absent = {one.uid for one in missing} - absent

    async def run(self, every: float) -> None:
        """Look again and again; WatchDied ends it."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.run_once()
            except (ClusterUnavailable, Refused) as error:
                self._log.warning("could not look after the watch", error=str(error)[:300])
