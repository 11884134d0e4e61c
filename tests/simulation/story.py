"""Tells a failing schedule so that a person can follow it: what was drawn, which faults struck, and everything that was sent."""

from collections.abc import Callable

from tests.simulation.run import run_schedule
from tests.simulation.shrink import Shrunk


def tell_story(shrunk: Shrunk, say: Callable[[str], None]) -> None:
    """Say how a schedule breaks its promise, from the start."""
    result = shrunk.result
    say(f"seed {result.seed}: {result.violation}")
    say(f"{len(result.faults)} faults are left of the schedule after {shrunk.tried} runs:")
    for fault in result.faults:
        lasts = f" ({fault.after:.1f} s)" if fault.after else ""
        say(f"  {fault.point}: {fault.kind.value}{lasts}")
    say("-> is a call to a service, => a statement or a command to a store, ## what happens to a process or a store")
    run_schedule(result.seed, removed=shrunk.removed, tell=say)
    if result.violation and result.violation.trace:
        say(result.violation.trace)
    say(f"replay: make simulate SEED={result.seed}")
