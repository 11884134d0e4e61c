"""How a load went from its first second to its last: a mean over ten minutes hides a queue that grows all the time."""

from collections.abc import Mapping, Sequence

from tests.bench.figures import percentile
from tests.bench.results import Line

STEP_SECONDS = 10.0


def rate(load: str, name: str, times: Sequence[float], began: float) -> Line:
    """Return how many of the times, in seconds since 1970, fall into each second of each step after `began`."""
    counts: dict[int, int] = {}
    for time in times:
        counts[_step(time, began)] = counts.get(_step(time, began), 0) + 1
    values = [counts.get(step, 0) / STEP_SECONDS for step in range(max(counts, default=-1) + 1)]
    return Line(load, name, "resources/s", STEP_SECONDS, values)


def lateness(load: str, name: str, seen: Mapping[str, float], happened: Mapping[str, float], began: float) -> Line:
    """Return by how many seconds 99 of 100 things were seen after they happened, by the step in which they happened."""
    late: dict[int, list[float]] = {}
    for one, at in happened.items():
        if one in seen:
            late.setdefault(_step(at, began), []).append(seen[one] - at)
    values = [percentile(sorted(late.get(step, ())), 99) for step in range(max(late, default=-1) + 1)]
    return Line(load, name, "s", STEP_SECONDS, values)


def _step(time: float, began: float) -> int:
    return max(0, int((time - began) / STEP_SECONDS))
