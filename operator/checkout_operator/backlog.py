"""Names of resources that are to be looked at: each once, and again after a pause that grows where that failed."""

import asyncio

FIRST_PAUSE, MOST_PAUSE = 0.2, 30.0


class Backlog:
    """A queue of names without duplicates."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}
        self._failures: dict[str, int] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._later)

    def add(self, name: str) -> None:
        """Have a name looked at soon."""
        if handle := self._later.pop(name, None):
            handle.cancel()
        self._waiting[name] = None
        self._filled.set()

    async def take(self) -> str:
        """Give the name that has waited longest."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        name = next(iter(self._waiting))
        del self._waiting[name]
        return name

    def done(self, name: str) -> None:
        """Say that looking at a name was enough."""
        self._failures.pop(name, None)

    def failed(self, name: str) -> None:
        """Have a name looked at again, later each time."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        pause = min(MOST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        if name not in self._later and name not in self._waiting:
            self._later[name] = asyncio.get_running_loop().call_later(pause, self.add, name)
