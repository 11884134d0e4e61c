"""An event loop with virtual time, whose order is a function of a seed, for many simulated processes in one.

A handle belongs to the process that made it. The handles of one process run in the order in which they were made, as asyncio
promises; which process runs next is drawn. Time moves only when nobody has anything to run. A process that is killed runs
nothing any more, not even its `finally` blocks, as after SIGKILL; one that is paused runs later what came meanwhile.
"""

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Stuck(Exception):
    """Nothing is left to run, and nothing ever will be."""


class Process:
    """One life of a simulated process, from its start to its end or its kill."""

    __slots__ = ("alive", "context", "name", "paused", "queued", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.queued = False
        self.ready: deque[Handle] = deque()
        self.context = contextvars.Context()

    def __repr__(self) -> str:
        return self.name


class Handle:
    """A callback of a process."""

    __slots__ = ("args", "callback", "context", "owner", "stopped", "time")

    def __init__(
        self, owner: Process, callback: Callable[..., Any], args: Any, context: contextvars.Context, time: float = 0.0
    ) -> None:
        self.owner = owner
        self.callback = callback
        self.args = args
        self.context = context
        self.time = time
        self.stopped = False

    def cancel(self) -> None:
        """Never run it."""
        self.stopped = True

    def cancelled(self) -> bool:
        """Return whether it will never run."""
        return self.stopped

    def when(self) -> float:
        """Return the virtual time at which it is due."""
        return self.time


class SimTask(asyncio.Task):  # type: ignore[type-arg]
    """A task whose hash is a number of its own, so that sets of tasks have the same order in every run."""

    __slots__ = ("_serial", "_work_context", "owner")

    def __init__(self, coro: Any, *, loop: "SimLoop", name: str | None = None, context: Any = None) -> None:
        self._serial = loop.next_serial()
        self.owner = loop.current
        self._work_context = contextvars.copy_context() if context is None else context
        super().__init__(coro, loop=loop, name=name or "t", context=self._work_context)
        self._log_destroy_pending = False  # a task of a process that was killed ends like this
        loop.keep(self)

    def discard(self) -> None:
        """Close the coroutine of a task that will never end. What its `finally` blocks attempt does not matter any more."""
        if not self.done():
            with suppress(BaseException):
                self._work_context.run(self.get_coro().close)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.AbstractEventLoop):
    """The loop. `current` is the process that runs, and owns what is made meanwhile."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.world = Process("world")
        self.current = self.world
        self.tasks: list[SimTask] = []
        """The tasks that have not ended, and some that have: they are kept, as nobody else may hold a pending one.

        Those that failed unasked are kept too: what is told of them must not depend on when Python frees them.
        """
        self.unexpected: Callable[[Process, dict[str, Any]], None] = lambda *_: None
        """Is told what asyncio's exception handler is told, and of which process; not of one that was killed."""
        self.handles_run = 0
        self._draw = random.Random(seed)
        self._runnable: list[Process] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._serial = 0
        self._most_tasks = 128
        self._stopping = False

    # What the simulation asks for.

    def run(self) -> None:
        """Run until `stop`; Stuck where nothing is left to run."""
        timers, runnable = self._timers, self._runnable
        while not self._stopping:
            if runnable:
                self._run_one(runnable)
                continue
            while timers:
                when, _, handle = heapq.heappop(timers)
                if not handle.stopped and handle.owner.alive:
                    self.now = max(self.now, when)
                    self._enqueue(handle)
                    break
            else:
                raise Stuck

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True

    def at(self, owner: Process, delay: float, callback: Callable[..., Any], *args: Any) -> Handle:
        """Call back in another process, so many seconds from now."""
        handle = Handle(owner, callback, args, owner.context, self.now + delay)
        heapq.heappush(self._timers, (handle.time, self.next_serial(), handle))
        return handle

    def spawn(self, owner: Process, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Start a task of a process."""
        with self.as_process(owner):
            return self.create_task(work, context=contextvars.Context())

    def kill(self, process: Process) -> None:
        """End a process where it is."""
        process.alive = False
        process.ready.clear()

    def pause(self, process: Process) -> None:
        """Stop a process until `resume`."""
        process.paused = True

    def resume(self, process: Process) -> None:
        """Let a process go on."""
        process.paused = False
        if process.ready and not process.queued and process.alive:
            process.queued = True
            self._runnable.append(process)

    @contextmanager
    def as_process(self, process: Process) -> Iterator[None]:
        """Let a process own what is made inside."""
        before, self.current = self.current, process
        try:
            yield
        finally:
            self.current = before

    def keep(self, task: SimTask) -> None:
        """Hold a task until it has ended."""
        self.tasks.append(task)
        if len(self.tasks) > self._most_tasks:
            self.tasks = [one for one in self.tasks if not one.done() or one._log_traceback]
            self._most_tasks = 2 * len(self.tasks) + 64

    def tell_failed(self) -> None:
        """Tell of the tasks that have failed and that nobody has asked."""
        for task in self.tasks:
            if task.done() and not task.cancelled() and task._log_traceback:
                told = {"message": "a task has failed, and nobody has asked it", "task": task}
                self.call_exception_handler(told | {"exception": task.exception()})

    def next_serial(self) -> int:
        """Return the next number of this run."""
        self._serial += 1
        return self._serial

    def _run_one(self, runnable: list[Process]) -> None:
        """Run what one process has ready."""
        index = int(self._draw.random() * len(runnable)) if len(runnable) > 1 else 0
        process = runnable[index]
        ready = process.ready
        self.current = process
        for _ in range(len(ready)):
            if process.paused or not process.alive or not ready:
                break
            handle = ready.popleft()
            if not handle.stopped:
                self.handles_run += 1
                handle.context.run(handle.callback, *handle.args)
        self.current = self.world
        if not ready or process.paused or not process.alive:
            process.queued = False
            runnable[index] = runnable[-1]
            runnable.pop()

    def _enqueue(self, handle: Handle) -> None:
        process = handle.owner
        process.ready.append(handle)
        if not process.queued and not process.paused and process.alive:
            process.queued = True
            self._runnable.append(process)

    # What asyncio asks for.

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        owner = self.current
        handle = Handle(owner, callback, args, contextvars.copy_context() if context is None else context)
        owner.ready.append(handle)
        if not owner.queued and not owner.paused and owner.alive:
            owner.queued = True
            self._runnable.append(owner)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        handle = Handle(self.current, callback, args, contextvars.copy_context() if context is None else context, when)
        heapq.heappush(self._timers, (when, self.next_serial(), handle))
        return handle

    def create_future(self) -> Any:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None, **_: Any) -> Any:
        return SimTask(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        process = task.owner if isinstance(task, SimTask) else self.current
        if process.alive:
            self.unexpected(process, context)


@contextmanager
def running(loop: SimLoop) -> Iterator[None]:
    """Make it the running loop of this thread."""
    before = asyncio._get_running_loop()
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(before)
