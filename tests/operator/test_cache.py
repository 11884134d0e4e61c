"""What the watch has reported: resources by name, and by the checkout that they are about."""

from dataclasses import replace

import msgspec
import pytest

from checkout_operator.cache import ResourceCache
from checkout_operator.recent import CAPACITY
from checkout_operator.sharding import WHOLE, Shard
from tests.operator.views import at


@pytest.fixture
def cache():
    """Nothing yet."""
    return ResourceCache()


def test_under_which_names(cache, make, view):
    """A checkout is shown by the resources that are known to be about it; one of REST by its mirror."""
    first, other = make("first"), make("other", idempotencyKey="uid-first")
    cache.put(first)
    cache.put(other)
    assert cache.names_for(view) == ()
    cache.confirm(first)
    assert cache.names_for(view) == (at("first"),)
    cache.confirm(other)
    assert cache.names_for(view) == (at("first"), at("other"))
    cache.remove(first)
    assert cache.names_for(view) == (at("other"),)
    assert cache.names_for(replace(view, user_id=8)) == ()
    assert cache.names_for(replace(view, from_resource=False)) == (at("co-c1"),)


def test_a_mirror_is_no_owner_of_a_key(cache, make, mirror, view):
    """A mirror shows what its id says, whatever key somebody gave it."""
    cache.put(mirror("c2", idempotencyKey="uid-first"))
    assert cache.is_confirmed(mirror("c2"))
    assert cache.names_for(view) == ()
    assert [one.name for one in cache.mirrors()] == ["co-c2"]


def test_mirrors_are_counted(cache, make, mirror):
    """Each mirror counts once while it exists, however often it is reported; other resources do not count."""
    for one in (mirror("c1"), mirror("c2"), mirror("c2"), make("first")):
        cache.put(one)
    assert cache.count_mirrors() == 2
    for one in (mirror("c2"), mirror("c2"), make("first")):
        cache.remove(one)
    assert cache.count_mirrors() == 1


def test_what_a_finalizer_holds_does_not_count(cache, mirror):
    """A mirror that is deleted and held by somebody's finalizer takes no place of another; it is still known."""
    for one in (mirror("c1"), mirror("c2"), msgspec.structs.replace(mirror("c2"), deleting=True)):
        cache.put(one)
    assert cache.count_mirrors() == 1
    assert [one.name for one in cache.mirrors()] == ["co-c1"]
    assert cache.get(at("co-c2")).deleting
    cache.remove(mirror("c2"))
    assert cache.count_mirrors() == 1


def test_a_name_that_is_used_again(cache, make, view):
    """Another resource of the same name has its own key, and is the one that the name means from now on."""
    first, second = make("first"), make("first", uid="second")
    cache.put(first)
    cache.confirm(first)
    cache.put(second)
    assert cache.get(at("first")) is second
    assert cache.names_for(view) == ()
    assert not cache.is_confirmed(second)
    cache.remove(first)
    assert not cache.is_confirmed(first)
    assert cache.generations() == {("second", 1)}


@pytest.mark.parametrize("order", ["aab-", "aba-", "ba-", "a-b", "ab-"])
def test_two_of_a_name_reported_in_any_order(cache, make, view, order):
    """Changes and the end of the earlier one, reported late, leave the later one and what is known of it."""
    reported = {"a": make("first", uid="old"), "b": make("first", idempotencyKey="uid-first")}
    for letter in order:
        if letter == "-":
            cache.remove(reported["a"])
        else:
            cache.put(reported[letter])
    assert cache.all() == [reported["b"]]
    assert cache.get(at("first")) is reported["b"]
    cache.confirm(reported["b"])
    assert cache.names_for(view) == (at("first"),)
    cache.put(reported["b"])  # its own changes are recorded too
    assert cache.is_confirmed(reported["b"])


def test_the_end_of_another_of_the_name(cache, make):
    """The end of the earlier one, reported late, leaves the later one."""
    first, second = make("first"), make("first", uid="second")
    cache.put(first)
    cache.put(second)
    cache.remove(first)
    assert cache.get(at("first")) is second
    assert not cache.was_deleted(at("first"))
    cache.remove(second)
    assert cache.get(at("first")) is None
    assert cache.was_deleted(at("first"))


def test_nothing_is_kept_of_what_is_gone(cache, make):
    """What is confirmed after it is gone is forgotten too, and so are all but the last names."""
    for number in range(CAPACITY + 5):
        one = make(f"r{number}")
        cache.put(one)
        cache.remove(one)
        cache.confirm(one)
        assert not cache.is_confirmed(one)
    assert (cache.all(), cache._by_key, cache._confirmed) == ([], {}, set())
    assert [cache.was_deleted(at(f"r{number}")) for number in (0, 4, 5)] == [False, False, True]


def test_an_older_list_brings_nothing_back(cache, make):
    """What the watch has reported as deleted is not taken from a list; once the watch reports it again, it may be."""
    first = make("first")
    cache.put(first)
    cache.remove(first)
    assert not cache.adopt(first)
    cache.put(first)  # as where its label comes back
    cache.shard = Shard("a", frozenset())
    assert cache.release_others() == 1
    cache.shard = WHOLE
    assert cache.adopt(first)
