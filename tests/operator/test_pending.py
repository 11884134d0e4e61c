"""What waits to be shown: the latest state of each name, and failed writes that are made again after growing pauses."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from checkout_operator import pending as module
from checkout_operator.pending import MAX_RETRIES_WAITING, RETRY_SECONDS, PendingStates
from tests.operator.views import at


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def pending(clock):
    """Nothing waits."""
    return PendingStates()


@pytest.fixture
def take(pending):
    """Start the write of a name, and take its state."""

    def take(name):
        pending.start(name)
        return pending.pop(name)

    return take


def test_a_write_is_tried_again_after_growing_pauses(pending, take, clock, view):
    """Each further try waits longer; after the last one the name waits no more, and a later failure begins anew."""
    first = at("first")
    for _ in range(2):
        pending.add(first, view)
        for pause in RETRY_SECONDS:
            pending.retry(first, take(first))
            assert [(name, one.not_before - clock.now) for name, one in pending.waiting()] == [(first, pause)]
        pending.retry(first, take(first))
        assert list(pending.waiting()) == []


def test_a_success_begins_anew(pending, take, clock, view):
    """A name whose write has succeeded waits for the shortest pause when it fails the next time."""
    first = at("first")
    pending.add(first, view)
    pending.retry(first, take(first))
    take(first)
    pending.written(first)
    pending.retry(first, view)
    assert [one.not_before - clock.now for _, one in pending.waiting()] == [RETRY_SECONDS[0]]


def test_a_new_state_does_not_wait_for_the_pause(pending, take, view):
    """A later state may be written at once, and a failed earlier one does not take its place."""
    first, later = at("first"), replace(view, version=view.version + 1)
    pending.add(first, view)
    pending.retry(first, take(first))
    pending.add(first, later)
    assert [one.not_before for _, one in pending.waiting()] == [0.0]
    take(first)
    pending.add(first, later)  # it comes while the earlier one is being written
    pending.retry(first, view)
    assert [one.not_before for _, one in pending.waiting()] == [0.0]
    assert pending[first] == later


def test_the_same_state_waits_for_the_pause(pending, take, clock, view):
    """A comparison that offers a failed state again has it written no sooner."""
    first = at("first")
    pending.add(first, view)
    pending.retry(first, take(first))
    pending.add(first, replace(view))
    assert [one.not_before - clock.now for _, one in pending.waiting()] == [RETRY_SECONDS[0]]


def test_each_state_has_tries_of_its_own(pending, take, view):
    """However many states of a name have failed before, the last one is tried again."""
    first = at("first")
    for number in range(len(RETRY_SECONDS) + 2):
        pending.add(first, replace(view, version=view.version + number))
        pending.retry(first, take(first))
    assert [name for name, _ in pending.waiting()] == [first]


@pytest.mark.parametrize("failures", range(len(RETRY_SECONDS) + 1))
def test_an_older_state_of_a_comparison_does_not_displace_a_failed_one(pending, take, view, failures):
    """What a comparison read before the failed state was made is not shown in its place, however often that has failed."""
    first, ended = at("first"), replace(view, version=view.version + 1)
    pending.add(first, ended)
    for _ in range(failures):
        pending.retry(first, take(first))
    take(first)
    pending.add(first, view)
    pending.retry(first, ended)
    assert take(first) == ended


def test_only_so_many_are_tried_again(pending, take, view):
    """Where everything fails, the API server gets no more than a bounded number of further tries."""
    for number in range(MAX_RETRIES_WAITING + 5):
        pending.add(at(f"r{number}"), view)
        pending.retry(at(f"r{number}"), take(at(f"r{number}")))
    assert len(list(pending.waiting())) == MAX_RETRIES_WAITING
