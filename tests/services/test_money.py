"""Money as JSON shows it."""

from hypothesis import given
from hypothesis import strategies as st

from services.money import to_json


@given(st.integers(0, 10**15 - 1))
def test_at_most_two_decimals_and_nothing_lost(minor: int) -> None:
    """An amount's JSON number has at most two decimals and names the same amount."""
    text = repr(to_json(minor))
    whole, _, decimals = text.partition(".")
    assert len(decimals) <= 2
    assert int(whole) * 100 + int(decimals.ljust(2, "0") or 0) == minor
