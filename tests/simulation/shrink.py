"""Makes a failing schedule short: takes out faults for as long as the same promise is broken without them."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.run import Result, run_schedule


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A failing schedule, and the points whose faults it does not need."""

    result: Result
    removed: tuple[str, ...]
    tried: int
    """How many schedules were run for it."""


def shrink(seed: int, run: Callable[..., Result] = run_schedule, *, most: int = 400) -> Shrunk:
    """Return the shortest failing schedule of a seed that at most `most` runs lead to. ValueError where it does not fail.

    Halves of the faults are taken out first, then quarters, down to single ones (delta debugging, Zeller 2002). What the
    others do may change when one is gone; a schedule counts only if the same promise is broken in it.
    """
    best = run(seed)
    if best.violation is None:
        raise ValueError(f"the schedule of seed {seed} breaks no promise")
    promise = best.violation.promise
    removed: list[str] = []
    tried = 1
    size = max(1, len(best.faults) // 2)
    while tried < most:
        points = [fault.point for fault in best.faults]
        progress = False
        for start in range(0, len(points), size):
            without = points[start : start + size]
            attempt = run(seed, removed=(*removed, *without))
            tried += 1
            if attempt.violation is not None and attempt.violation.promise == promise:
                best, progress = attempt, True
                removed += without
                break
            if tried >= most:
                break
        if not progress:
            if size == 1:
                break
            size = max(1, size // 2)
    return Shrunk(best, tuple(removed), tried)
