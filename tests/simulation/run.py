"""Runs one schedule after the other in this process, and leaves nothing of one to the next."""

import gc
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import SimpleNamespace
from unittest.mock import patch

import stamina

import services.chassis.batched_request
from tests.simulation.faults import Fault
from tests.simulation.invariants import Violation
from tests.simulation.quiet import QuietLog
from tests.simulation.world import World

COLLECT_EVERY = 10
"""Most of a world is freed at once; what is left of so many is collected together."""
_LEFT: list[World] = []
"""Worlds that are not freed."""
SILENT = SimpleNamespace(get_logger=lambda: QuietLog(lambda *_: None))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a schedule."""

    seed: int
    violation: Violation | None
    coverage: Counter[str]
    faults: tuple[Fault, ...]
    """Those that struck, in their order."""
    seconds: float
    """Of virtual time."""
    trace: int
    """The number of handles that ran: two runs of one schedule have the same."""


def run_schedule(
    seed: int, *, removed: Collection[str] = (), tell: Callable[[str], None] | None = None, free: bool = True
) -> Result:
    """Run the schedule of a seed, without the faults at the points in `removed`; tell its story line by line.

    `free`: free its memory afterwards. A process that ends soon need not.
    """
    world = World(seed, removed=removed, tell=tell)
    violation = world.run()
    result = Result(seed, violation, world.coverage, tuple(world.faults.struck), world.loop.now, world.loop.handles_run)
    if free:
        _discard(world, seed)
    else:
        _LEFT.append(world)
    return result


def prepare() -> None:
    """Keep the garbage collector away from what is there already and from schedules while they run, and retries from the log."""
    stamina.instrumentation.set_on_retry_hooks([])
    gc.collect()
    gc.freeze()
    gc.disable()


def _discard(world: World, seed: int) -> None:
    """Free a world. Processes that were killed in it have work that nobody will end, which Python complains about."""
    world.silence()
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with patch.object(services.chassis.batched_request, "structlog", SILENT), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for task in world.loop.tasks:
                task.discard()
            world.loop.tasks.clear()
            world.__dict__.clear()
            del world
            if seed % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        sys.unraisablehook = hook
