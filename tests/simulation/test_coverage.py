"""What a long run must have reached."""

import re
from collections import Counter

from tests.simulation.coverage import SOMETIMES, never_reached


def test_what_was_never_reached_is_named():
    """A run that did not reach something says what."""
    reached = Counter(dict.fromkeys(SOMETIMES, 1))
    assert never_reached(reached) == []
    del reached["step: PAYING -> CANCELLING"]
    assert never_reached(reached) == ["step: PAYING -> CANCELLING"]


def test_a_few_schedules_reach_most_of_it(simulated):
    """The schedules are about what they say: those of every test reach three quarters of what a long run must reach."""
    counted = re.findall(r"^ *([\d,]+)  (\S.*)$", simulated.stdout, re.MULTILINE)
    coverage = {name: int(count.replace(",", "")) for count, name in counted}
    assert len(never_reached(coverage)) < len(SOMETIMES) / 4, never_reached(coverage)
