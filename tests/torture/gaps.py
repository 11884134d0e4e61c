"""What a campaign has not shown, though it found nothing broken: a hook that no longer works looks like a fault that does no harm."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from tests.torture.journal import Entry, Verdict
from tests.torture.plan import single_of
from tests.torture.points import Fault, Kind, Point

BY_THE_CLOCK = frozenset({Kind.API_READ})
"""Kinds of calls that no purchase makes: the operator reads every so often, which a recording may miss."""
LEAST_TRIED = 3
"""How often a fault must have been tried at calls of a kind before it is missed."""
MOST_MISSED = 0.1
"""The share of single faults whose point may not be passed in time: what a cancellation or a rebalance does is a matter of timing."""


def unrecorded(recording: Mapping[str, Collection[Point]]) -> list[str]:
    """Return which kinds of calls were never seen, though every purchase makes them."""
    seen = {point.kind for points in recording.values() for point in points}
    return [f"no {kind} call was recorded: its hook has no effect" for kind in Kind if kind not in seen | BY_THE_CLOCK]


def unshown(entries: Iterable[Entry]) -> list[str]:
    """Return which faults never struck at calls of a kind, and whether too many single faults were not reached."""
    tried: Counter[tuple[Kind, Fault]] = Counter()
    struck: Counter[tuple[Kind, Fault]] = Counter()
    verdicts: Counter[Verdict] = Counter()
    for entry in entries:
        if (single := single_of(entry.name)) is None:
            continue
        point, fault = single
        what = (point.kind, fault)
        tried[what] += 1
        struck[what] += bool(entry.struck)
        verdicts[entry.verdict] += 1
    found = [
        f"{fault} never struck at a {kind} call, in {count} schedules: its hook has no effect"
        for (kind, fault), count in sorted(tried.items())
        if count >= LEAST_TRIED and not struck[kind, fault]
    ]
    if verdicts[Verdict.NOT_REACHED] > MOST_MISSED * verdicts.total():
        found.append(f"{verdicts[Verdict.NOT_REACHED]} of {verdicts.total()} single faults were not reached")
    return found
