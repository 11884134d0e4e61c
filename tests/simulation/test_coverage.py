"""What a long run must have reached."""

from collections import Counter

from tests.simulation.coverage import SOMETIMES, never_reached
from tests.simulation.run import run_schedule

SEEDS = range(300, 360)


def test_what_was_never_reached_is_named():
    """A run that did not reach something says what."""
    reached = Counter(dict.fromkeys(SOMETIMES, 1))
    assert never_reached(reached) == []
    del reached["step: PAYING -> CANCELLING"]
    assert never_reached(reached) == ["step: PAYING -> CANCELLING"]


def test_a_few_schedules_reach_most_of_it():
    """The schedules are about what they say: sixty of them reach three quarters of what a long run must reach."""
    coverage = Counter()
    for seed in SEEDS:
        coverage.update(run_schedule(seed).coverage)
    assert len(never_reached(coverage)) < len(SOMETIMES) / 4, never_reached(coverage)
