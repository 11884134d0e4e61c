"""Which of several operators works on what, and which of them are alive."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkout_operator.liveness import BLIND_SECONDS, Liveness
from checkout_operator.sharding import WHOLE, Shard, key_of, owner
from tests.operator.views import at

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
MEMBERS = st.frozensets(NAMES, min_size=1, max_size=6)
KEYS = [f"key-{number}" for number in range(100)]


def shards(members):
    """Give the shard of each member."""
    return [Shard(member, frozenset(members)) for member in members]


@given(MEMBERS, st.text())
def test_every_key_has_one_owner(members, key):
    """Whoever the members are, each key is worked on by exactly one of them."""
    assert [shard.member for shard in shards(members) if shard.owns(key)] == [owner(key, members)]


@given(st.frozensets(NAMES, min_size=2, max_size=6), st.data())
def test_a_lost_member_moves_its_own_keys_alone(members, data):
    """When a member is lost, what the others work on stays theirs."""
    lost = data.draw(st.sampled_from(sorted(members)))
    before = {key: owner(key, members) for key in KEYS}
    after = {key: owner(key, members - {lost}) for key in KEYS}
    assert {key for key in KEYS if before[key] != after[key]} == {key for key in KEYS if before[key] == lost}


@settings(max_examples=20)
@given(MEMBERS)
def test_the_work_is_balanced(members):
    """No member works on more than a half above its part of many keys."""
    owned = Counter(owner(f"key-{number}", members) for number in range(600))
    assert max(owned.values()) <= 1.6 * 600 / len(members)


@given(MEMBERS, st.integers(0, 10_000))
def test_limits_are_shared(members, limit):
    """The parts of a limit add up to the limit, and differ by one at most; so do those of a rate."""
    parts = [shard.quota(limit) for shard in shards(members)]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1
    assert sum(shard.fraction for shard in shards(members)) == pytest.approx(1)


@given(MEMBERS, NAMES, st.text())
def test_no_member(members, name, key):
    """An operator whose Lease has run out works on nothing and uses nothing of a limit."""
    shard = Shard(name, members - {name})
    assert (shard.owns(key), shard.quota(1000), shard.fraction) == (False, 0, 0.0)


def test_an_operator_alone():
    """An operator that has no others beside it works on everything."""
    assert WHOLE.is_member
    assert WHOLE.owns("any")
    assert (WHOLE.quota(1500), WHOLE.fraction) == (1500, 1.0)


def test_the_owner_stays_the_same():
    """Members of different versions agree: the owner of a key is the same in every process and release."""
    assert "".join(owner(f"key-{number}", {"a", "b", "c"}) for number in range(8)) == "babaaaba"


@settings(max_examples=50)
@given(MEMBERS, MEMBERS, NAMES)
def test_what_is_to_be_taken_over(before, after, name):
    """Where a change may give an operator a key, it lists; where others only join, it does not."""
    old, new = Shard(name, before), Shard(name, after)
    gained = [key for key in KEYS if new.owns(key) and not old.owns(key)]
    assert new.may_gain(old) or not gained
    joined = Shard(name, before | after | {name})
    assert not joined.may_gain(Shard(name, before | {name}))


def test_the_key_of_a_resource():
    """A resource goes by its uid, and a mirror by its checkout, so that what makes it also shows it."""
    assert key_of({"metadata": {"uid": "u1"}, "spec": {"userId": 7}}) == "u1"
    assert key_of({"metadata": {"uid": "u1"}, "spec": {"managedBy": "mirror", "checkoutId": "c1"}}) == "c1"
    assert key_of({"metadata": {"uid": "u1"}, "spec": {"managedBy": "operator", "checkoutId": "c1"}}) == "u1"
    assert key_of({"metadata": {}, "spec": None}) == ""


@pytest.fixture
def liveness():
    """Which members are alive, where one that is silent for 8 s is not."""
    return Liveness(8.0)


def look(liveness, seconds, *, every=2.0, **clocks):
    """Look for so many seconds at members whose Leases say this at each second."""
    number = 0
    while number * every <= seconds:
        liveness.look({name: str(clock(number)) for name, clock in clocks.items()}, 1000 + number * every)
        number += 1


def test_a_member_that_renews_is_alive(liveness):
    """What the Lease's time says does not matter, be it an hour off or going back, as long as it moves."""
    look(liveness, 60, behind=lambda now: now - 3600, back=lambda now: -now)
    assert liveness.alive() == {"behind", "back"}


def test_a_silent_member_is_dead(liveness):
    """A member that renews nothing is dead after 8 s and not before, and lives again as soon as it renews."""
    look(liveness, 6, silent=lambda _: 1, other=lambda now: now)
    assert liveness.alive() == {"silent", "other"}
    look(liveness, 8, silent=lambda _: 1, other=lambda now: now)
    assert (liveness.alive(), liveness.dead()) == ({"other"}, {"silent"})
    liveness.look({"silent": "2", "other": "other"}, 1010)
    assert liveness.alive() == {"silent", "other"}


def test_who_could_not_look_has_seen_no_silence(liveness):
    """After an outage, or after it was stopped itself, an operator takes nobody for dead whom it has not watched."""
    liveness.look({"other": "1"}, 0)
    liveness.look({"other": "1"}, 3600)
    assert liveness.alive() == {"other"}
    liveness.look({"other": "1"}, 3600 + BLIND_SECONDS)
    assert liveness.dead() == {"other"}


def test_a_lease_that_is_gone(liveness):
    """A member that has deleted its Lease is not among the members, dead or alive."""
    liveness.look({"gone": "1"}, 0)
    liveness.look({}, 2)
    assert not liveness.alive() | liveness.dead()


def test_mirrors_follow_the_shard(cache, view):
    """A checkout of REST is shown by the operator that owns it, and by no other."""
    rest = replace(view, from_resource=False)
    members = frozenset({"a", "b"})
    shown = []
    for member in sorted(members):
        cache.shard = Shard(member, members)
        shown += cache.names_for(rest)
    assert shown == [at("co-c1")]
