"""The simulation notices mistakes: each planted one breaks a promise within a few hundred schedules."""

import pytest

from tests.simulation.mistakes import MISTAKES
from tests.simulation.run import run_schedule

SEEDS = 400
FIRST = {
    "a_timeout_is_a_decline": 27,
    "steps_without_a_fence": 44,
    "event_outside_the_transaction": 7,
    "offset_before_the_work": 144,
    "pinned_stock_expires": 11,
    "release_without_a_tombstone": 154,
    "cancel_without_a_tombstone": 164,
    "delivery_counted_twice": 60,
    "outcomes_in_the_wrong_order": 14,
    "no_second_look": 76,
    "cache_filled_across_a_write": 106,
    "published_before_it_is": 22,
    "purchases_removed_again": 6,
}
"""The first seeds that showed a mistake when this was written: the search begins there, and goes on where the code has changed."""


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_noticed(name):
    """A promise is broken; without the mistake the same seeds break none (test_simulation)."""
    begin = FIRST.get(name, 1)
    for seed in (*range(begin, SEEDS + 1), *range(1, begin)):
        with MISTAKES[name]():
            if run_schedule(seed).violation is not None:
                return
    raise AssertionError(f"{name} was not noticed in {SEEDS} schedules")
