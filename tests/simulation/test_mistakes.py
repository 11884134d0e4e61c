"""The simulation notices mistakes: each planted one breaks a promise within a few hundred schedules."""

import pytest

from tests.simulation.mistakes import MISTAKES
from tests.simulation.run import run_schedule

SEEDS = 400


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_noticed(name):
    """A promise is broken, and none without the mistake (test_simulation runs the same seeds)."""
    for seed in range(1, SEEDS + 1):
        with MISTAKES[name]():
            if run_schedule(seed).violation is not None:
                return
    raise AssertionError(f"{name} was not noticed in {SEEDS} schedules")
