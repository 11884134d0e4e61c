"""Which differences count: those that two looks found, and that are older than their bound."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.auditor.books import Book
from services.auditor.differences import MOST, Difference, Differences, Kind, Verdict
from services.auditor.pace import Pace

START = datetime(2026, 11, 26, 12, tzinfo=UTC)


def at(seconds):
    """Give a time."""
    return START + timedelta(seconds=seconds)


def difference(subject="a", since=0, kind=Kind.MONEY):
    """Give a difference."""
    return Difference(kind, subject, "the books differ", at(since), frozenset({Book.BANK}))


def everything(_):
    """Cover every difference."""
    return True


def test_one_look_is_not_enough():
    """What one look found may be two stores read at two moments: it counts from the second look on."""
    known = Differences(30, {})
    known.look([difference()], everything)
    assert (known.counting(at(100)), known.is_unsure) == ([], True)
    known.look([difference()], everything)
    assert (known.counting(at(100)), known.is_unsure) == ([difference()], False)


def test_what_is_young_is_under_way():
    """A difference counts once it is older than its bound, which a kind may have of its own."""
    known = Differences(30, {Kind.STOCK: 1})
    for _ in range(2):
        known.look([difference(), difference("product 1", kind=Kind.STOCK)], everything)
    assert [one.kind for one in known.counting(at(29))] == [Kind.STOCK]
    assert len(known.counting(at(30))) == 2
    verdicts = known.verdicts(at(40))
    assert (verdicts[Kind.MONEY], verdicts[Kind.ORDERS]) == (Verdict(1, 40.0), Verdict(0, 0.0))


def test_what_is_gone_counts_no_more_and_comes_back_anew():
    """A difference that a look covers and does not find is forgotten; found again it needs two looks again."""
    known = Differences(0, {})
    for _ in range(2):
        known.look([difference()], everything)
    assert known.newly_counting(at(1)) == [difference()]
    assert known.newly_counting(at(2)) == []
    assert known.look([], lambda one: one.subject == "b") == []
    assert known.counting(at(3)) == [difference()]
    assert known.look([], everything) == [difference()]
    known.look([difference()], everything)
    assert known.counting(at(4)) == []


def test_a_difference_that_no_store_dates_is_as_old_as_its_first_look():
    """Where `since` is the time of the look, the first one stays."""
    known = Differences(10, {})
    for look in range(4):
        known.look([difference(since=4 * look)], everything)
    assert [one.since for one in known.counting(at(12))] == [at(0)]


def test_what_was_looked_at_longest_ago_comes_first():
    """Where more differ than one round looks at, each has its turn."""
    known = Differences(0, {})
    known.look([difference("a"), difference("b"), difference("c")], everything)
    known.look([difference("a")], lambda one: one.subject == "a")
    assert known.subjects(Kind.MONEY) == ["b", "c", "a"]


def test_memory_is_bounded():
    """However many books differ, no more than MOST are remembered."""
    known = Differences(0, {})
    for _ in range(2):
        known.look((difference(str(number)) for number in range(MOST + 10)), everything)
    assert known.verdicts(at(1))[Kind.MONEY].count == MOST


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc"))), max_size=8))
def test_a_difference_counts_exactly_if_its_last_two_looks_found_it(looks):
    """Whatever looks cover and find, what counts is what was found twice since it was last covered and not found."""
    known, model = Differences(0, {}), dict.fromkeys("abc", 0)
    for covered, found in looks:
        known.look([difference(one) for one in sorted(found)], lambda one, those=covered: one.subject in those)
        for one in "abc":
            model[one] = model[one] + 1 if one in found else 0 if one in covered else model[one]
    assert {one.subject for one in known.counting(at(1))} == {one for one, times in model.items() if times > 1}


def test_what_takes_long_is_done_less_often():
    """A turn of 2 s at a share of a tenth is followed by a rest of 20 s, a short one by the least rest."""
    pace = Pace(0.1, 5.0)
    assert pace.is_due(0)
    pace.ended(0, 2)
    assert (pace.is_due(21), pace.is_due(22)) == (False, True)
    pace.ended(22, 22.1)
    assert (pace.is_due(27), pace.is_due(27.2)) == (False, True)
    pace.ended(30, 30.1, whole=False)
    assert pace.is_due(31.2)
