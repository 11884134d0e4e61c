"""A work queue of resource names: each name is queued once, and is retried with a growing delay after a failure."""

import asyncio
from itertools import islice

from checkout_operator.spec import NamespacedName

BASE_DELAY, MAX_DELAY = 0.2, 5.0
"""Seconds before a retry: the base doubles with each failure, up to the maximum.

The maximum is how long a resource may still wait once the checkout service is back. Retries ride together, so that a
thousand resources that wait cost it a few calls a second.
"""

GATHER_SECONDS = 0.1
"""The shortest time between two handovers, but for a full one: what comes meanwhile rides together.

A call for ten checkouts, and each step of ten checkouts that go together, costs the services little more than for one. A name
that comes after a pause is handed out at once, so one resource alone never waits.
"""


class WorkQueue:
    """A queue without duplicates. A name that a worker holds is not handed to a second worker."""

    def __init__(self) -> None:
        self._waiting: dict[NamespacedName, None] = {}
        self._in_progress: dict[NamespacedName, bool] = {}
        """The names that workers hold, and whether each was added again meanwhile."""
        self._failures: dict[NamespacedName, int] = {}
        self._delayed: dict[NamespacedName, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()
        self._handed_out_at = float("-inf")

    def __len__(self) -> int:
        """Return how many names are here, those included that workers hold."""
        return len(self._waiting) + len(self._delayed) + len(self._in_progress)

    def add(self, name: NamespacedName) -> None:
        """Queue a name. A name that a worker holds is queued again when that worker is done."""
        if name in self._in_progress:
            self._in_progress[name] = True
            return
        if handle := self._delayed.pop(name, None):
            handle.cancel()
        self._waiting[name] = None
        self._filled.set()

    async def get(self, limit: int) -> list[NamespacedName]:
        """Return the names that have waited longest, at least one. The worker must call `done` or `retry` for each.

        Fewer than `limit` are returned only GATHER_SECONDS after the last ones.
        """
        loop = asyncio.get_running_loop()
        while len(self._waiting) < limit:
            if not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            elif (left := self._handed_out_at + GATHER_SECONDS - loop.time()) > 0:
                await asyncio.sleep(left)
            else:
                break
        self._handed_out_at = loop.time()
        names = list(islice(self._waiting, limit))
        for name in names:
            del self._waiting[name]
            self._in_progress[name] = False
        return names

    def done(self, name: NamespacedName) -> None:
        """Mark a name as handled, and forget its failures."""
        self._failures.pop(name, None)
        self._release(name)

    def retry(self, name: NamespacedName) -> None:
        """Queue a name again after a delay that grows with each failure; at once if it was added meanwhile."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        delay = min(MAX_DELAY, BASE_DELAY * 2 ** min(failures, 10))
        self._release(name)
        if name not in self._delayed and name not in self._waiting:
            self._delayed[name] = asyncio.get_running_loop().call_later(delay, self.add, name)

    def _release(self, name: NamespacedName) -> None:
        if self._in_progress.pop(name, False):
            self.add(name)
