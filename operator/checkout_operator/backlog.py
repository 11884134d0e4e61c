"""Names of resources that are to be looked at: each once, and again after a pause that grows where that failed."""

import asyncio

FIRST_PAUSE, MOST_PAUSE = 0.2, 30.0


class Backlog:
    """A queue of names without duplicates. A name that is being looked at is not given out a second time meanwhile."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}
        self._under_way: dict[str, bool] = {}
        """The names that are being looked at, and whether they were added meanwhile."""
        self._failures: dict[str, int] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._later) + sum(self._under_way.values())

    def add(self, name: str) -> None:
        """Have a name looked at soon; one that is being looked at, once more after that."""
        if name in self._under_way:
            self._under_way[name] = True
            return
        if handle := self._later.pop(name, None):
            handle.cancel()
        self._waiting[name] = None
        self._filled.set()

    async def take(self) -> str:
        """Give the name that has waited longest; the taker says `done` or `failed` in the end."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        name = next(iter(self._waiting))
        del self._waiting[name]
        self._under_way[name] = False
        return name

    def done(self, name: str) -> None:
        """Say that looking at a name was enough."""
        self._failures.pop(name, None)
        self._return(name)

    def failed(self, name: str) -> None:
        """Have a name looked at again, later each time; at once where it was added meanwhile."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        pause = min(MOST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        self._return(name)
        if name not in self._later and name not in self._waiting:
            self._later[name] = asyncio.get_running_loop().call_later(pause, self.add, name)

    def _return(self, name: str) -> None:
        if self._under_way.pop(name, False):
            self.add(name)
