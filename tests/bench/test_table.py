"""How what was counted is held against the committed table."""

from collections import Counter

import pytest

from tests.bench.budget import TABLE, differences, read, shown

TEXT = """
[background]
statements = ["SELECT waiting"]
whole = ["SELECT 1"]
rpcs = ["ListCheckouts"]
[purchase.alone]
statements = { checkout = 3, bank = [1, 1.5] }
wal_bytes = [100, 200]
"""
ALLOWED = read(TEXT).loads["purchase alone"]


def counted(**changed: int) -> Counter[str]:
    """Give what ten purchases have cost."""
    return Counter({"statements.checkout": 30, "statements.bank": 12, "wal_bytes": 1500} | changed)


def test_what_the_table_says_is_in_order() -> None:
    """A cost that is what the table says, or within its bounds, is no difference."""
    assert differences(ALLOWED, counted(), 10) == []


def test_what_costs_more_is_named() -> None:
    """A cost above the table's is named, and so is one that the table does not know."""
    said = differences(ALLOWED, counted(**{"statements.checkout": 31, "redis.get": 10}), 10)
    assert said == [
        "redis.get: 1 a request, the table allows 0",
        "statements.checkout: 3.1 a request, the table allows 3",
    ]


def test_what_costs_less_must_lower_the_table() -> None:
    """A cost below the table's fails as well, and so does one that is gone."""
    said = differences(ALLOWED, counted(**{"statements.checkout": 20, "statements.bank": 0}), 10)
    assert [line.split(":")[0] for line in said] == ["statements.bank", "statements.checkout"]
    assert all("lower the table" in line for line in said)


def test_what_was_counted_can_be_put_into_the_table() -> None:
    """What is shown as a section of the table reads as one, and then nothing differs."""
    section = shown("purchase alone", counted(), 10)
    again = read("[background]\nstatements = []\nwhole = []\nrpcs = []\n" + section).loads["purchase alone"]
    assert differences(again, counted(), 10) == []


@pytest.mark.parametrize("cost", ["'many'", "[2, 1]", "[1]", "[1, 2, 3]"])
def test_a_cost_is_a_number_or_a_range(cost) -> None:
    """Anything else in the table is refused, with the name of the cost."""
    with pytest.raises(ValueError, match="kafka"):
        read(f"[background]\nstatements = []\nwhole = []\nrpcs = []\n[purchase.alone]\nkafka = {cost}")


def test_the_committed_table_can_be_read() -> None:
    """The committed table is in order."""
    assert read(TABLE.read_text())


def test_background_is_known_by_its_words() -> None:
    """A statement is background by a part of its words, or where it is short, by all of them."""
    table = read(TEXT)
    assert table.is_background("(SELECT waiting FROM t)")
    assert table.is_background("SELECT 1")
    assert not table.is_background("INSERT INTO t SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM t)")
