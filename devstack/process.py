"""One watched process: started, made ready, started again when it dies, stopped gracefully."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from devstack.stores import CannotStart, Start

FIRST_PAUSE, MOST_PAUSE = 0.3, 5.0  # seconds before a part that died is started again
STEADY_SECONDS = 10.0  # a part that ran so long starts without a pause again
STOP_SECONDS = 25.0
EXIT_USAGE = 2
"""The exit code of a process of ours that refuses its settings: it would refuse them again."""
LAST_LINES = 8


@dataclass
class Watched:
    """A part's process and its state."""

    name: str
    start: Callable[[], Start]
    is_ready: Callable[[], Awaitable[bool]]
    log: Path
    on_start: Callable[[], None]
    stop_signal: int = signal.SIGTERM
    """The signal that asks it to end."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """What is done once it serves and before it is ready; CannotStart where that fails."""
    state: str = "waiting"
    pid: int = 0
    restarts: int = 0
    failures: int = 0
    """How often in a row it died before it was ready."""
    started_at: float = 0.0
    error: str | None = None
    """Why it does not run; None where nothing is wrong."""
    _wanted: bool = False
    _keeper: "asyncio.Task[None] | None" = None
    _process: "asyncio.subprocess.Process | None" = None

    def run(self) -> None:
        """Start it, and keep it running."""
        if self._keeper is None or self._keeper.done():
            self._wanted, self.error, self.failures = True, None, 0
            self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it by its stop signal, and by SIGKILL where it does not end in time."""
        self._wanted = False
        process = self._process
        if process is not None and process.returncode is None:
            self.state = "stopping"
            self.signal(self.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                self.signal(signal.SIGKILL)
                await process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        self.state, self.pid = "stopped", 0

    def signal(self, number: int) -> None:
        """Send a signal to it and to all that it started."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def ready(self) -> None:
        """Wait until it is ready."""
        while self.state != "ready":  # noqa: ASYNC110 - it becomes so by itself, and may cease to be
            await asyncio.sleep(0.05)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while self._wanted:
            self.state = "starting"
            self.started_at = time.time()
            try:
                how = await asyncio.to_thread(self.start)
            except (CannotStart, OSError) as error:
                self.state, self.error = "failed", f"{self.name}: {error}"
                return
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *how.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=how.env or None,
                    user=how.user,
                    start_new_session=True,
                    cwd="/" if how.user else None,
                )
            self.pid = self._process.pid
            self.on_start()
            watching = asyncio.create_task(self._watch_readiness())
            await self._process.wait()
            watching.cancel()
            self.pid = 0
            if not self._wanted:
                return
            if self._process.returncode == EXIT_USAGE and self.state != "ready" and not self.restarts:
                self.state, self.error = "failed", f"{self.name} refuses its settings:\n{last_lines(self.log)}"
                return
            self.failures = 0 if self.state == "ready" else self.failures + 1
            self.state = "restarting"
            self.restarts += 1
            pause = FIRST_PAUSE if time.time() - self.started_at > STEADY_SECONDS else min(MOST_PAUSE, pause * 1.5)
            await asyncio.sleep(pause)

    async def _watch_readiness(self) -> None:
        while True:
            if await self.is_ready():
                try:
                    if self.prepare:
                        self.state = "preparing"
                        await self.prepare()
                except CannotStart as error:
                    self.state, self.error = "failed", f"{self.name}: {error}"
                    return
                self.state = "ready"
                return
            await asyncio.sleep(0.1)


def last_lines(log: Path) -> str:
    """Return the last lines of a log, of which the last one mostly says what went wrong."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-LAST_LINES:])
