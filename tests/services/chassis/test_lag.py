"""The lag of a partition, where its broker answers and where it does not."""

import math

from services.chassis.partition import UNANSWERED_MS, messages_behind


def test_a_lag_is_counted_from_what_is_applied_next():
    """What was read and not applied counts, and what stands behind it, whether or not new messages have come."""
    assert messages_behind(1000, 200, 100) == 800
    assert messages_behind(1000, 1000, 100) == 0


def test_a_lag_is_never_0_while_the_broker_is_away():
    """While the broker is silent the lag is at least what it was, and not known where nothing was behind."""
    assert messages_behind(1000, 200, UNANSWERED_MS + 1) == 800
    assert math.isnan(messages_behind(1000, 1000, UNANSWERED_MS + 1))
