"""What the watch has told of: resources by name, and by the checkout that they are about."""

from dataclasses import replace

import pytest

from checkout_operator.live import Live
from checkout_operator.recent import REMEMBERED


@pytest.fixture
def live():
    """Nothing yet."""
    return Live()


def test_under_which_names(live, make, view):
    """A checkout is shown by the resources that are known to be about it; one of REST by its mirror."""
    first, other = make("first"), make("other", idempotencyKey="uid-first")
    live.put(first)
    live.put(other)
    assert live.showing(view) == ()
    live.confirm(first)
    assert live.showing(view) == ("first",)
    live.confirm(other)
    assert live.showing(view) == ("first", "other")
    live.drop(first)
    assert live.showing(view) == ("other",)
    assert live.showing(replace(view, user_id=8)) == ()
    assert live.showing(replace(view, from_resource=False)) == ("co-c1",)


def test_a_mirror_is_no_owner_of_a_key(live, make, mirror, view):
    """A mirror shows what its id says, whatever key somebody gave it."""
    live.put(mirror("c2", idempotencyKey="uid-first"))
    assert live.is_confirmed(mirror("c2"))
    assert live.showing(view) == ()
    assert [one.name for one in live.mirrors()] == ["co-c2"]


def test_a_name_that_is_used_again(live, make, view):
    """Another resource of the same name has its own key, and is the one that the name means from now on."""
    first, second = make("first"), make("first", uid="second")
    live.put(first)
    live.confirm(first)
    live.put(second)
    assert live.get("first") is second
    assert live.showing(view) == ()
    assert not live.is_confirmed(second)
    live.drop(first)
    assert not live.is_confirmed(first)
    assert live.generations() == {("second", 1)}


@pytest.mark.parametrize("order", ["aab-", "aba-", "ba-", "a-b", "ab-"])
def test_two_of_a_name_told_in_any_order(live, make, view, order):
    """Changes and the end of the one before, told late, leave the one that is there and what is known of it."""
    told = {"a": make("first", uid="old"), "b": make("first", idempotencyKey="uid-first")}
    for letter in order:
        if letter == "-":
            live.drop(told["a"])
        else:
            live.put(told[letter])
    assert live.all() == [told["b"]]
    assert live.get("first") is told["b"]
    live.confirm(told["b"])
    assert live.showing(view) == ("first",)
    live.put(told["b"])  # its own changes are taken note of, too
    assert live.is_confirmed(told["b"])


def test_the_end_of_another_of_the_name(live, make):
    """The end of the one before, told late, leaves the one that is there."""
    first, second = make("first"), make("first", uid="second")
    live.put(first)
    live.put(second)
    live.drop(first)
    assert live.get("first") is second
    assert not live.was_deleted("first")
    live.drop(second)
    assert live.get("first") is None
    assert live.was_deleted("first")


def test_nothing_is_kept_of_what_is_gone(live, make):
    """What is confirmed after it is gone is forgotten too, and so are all but the last names."""
    for number in range(REMEMBERED + 5):
        one = make(f"r{number}")
        live.put(one)
        live.drop(one)
        live.confirm(one)
        assert not live.is_confirmed(one)
    assert (live.all(), live._by_key, live._confirmed) == ([], {}, set())
    assert [live.was_deleted(f"r{number}") for number in (0, 4, 5)] == [False, False, True]
