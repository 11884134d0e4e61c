"""The queue of names: each once, in its turn, and again later where looking at it failed."""

import asyncio

import pytest

from checkout_operator import backlog as module
from checkout_operator.backlog import FIRST_PAUSE, MOST_PAUSE, Backlog


class Clock:
    """Stands in for the loop's timers, and keeps the pauses that were asked for."""

    def __init__(self):
        self.pauses, self.due = [], []

    def get_running_loop(self):
        return self

    def call_later(self, pause, call, *words):
        self.pauses.append(pause)
        self.due.append((call, words))
        return self

    def cancel(self):
        self.due.clear()

    def ring(self):
        """Let the time of the last pause come."""
        call, words = self.due.pop()
        call(*words)


@pytest.fixture
def clock(monkeypatch):
    """The timers of the backlog."""
    clock = Clock()
    monkeypatch.setattr(module, "asyncio", clock)
    clock.Event = asyncio.Event
    return clock


async def test_a_name_waits_once():
    """However often a name is added it waits once, in its turn."""
    backlog = Backlog()
    for name in ("a", "b", "a", "a"):
        backlog.add(name)
    assert len(backlog) == 2
    assert [await backlog.take(), await backlog.take()] == ["a", "b"]
    assert len(backlog) == 0


async def test_who_takes_waits():
    """Who finds nothing waits for the next name; of several who wait, each gets one."""
    backlog = Backlog()
    takers = [asyncio.create_task(backlog.take()) for _ in range(2)]
    await asyncio.sleep(0)
    backlog.add("a")
    backlog.add("b")
    assert sorted(await asyncio.wait_for(asyncio.gather(*takers), 5)) == ["a", "b"]


async def test_what_failed_comes_again_by_itself():
    """A name that failed is given again without being added."""
    backlog = Backlog()
    backlog.add("a")
    backlog.failed(await backlog.take())
    assert len(backlog) == 1
    assert await asyncio.wait_for(backlog.take(), 5) == "a"


async def test_pauses_grow_and_end(clock):
    """Each failure in a row doubles the pause, to a most; one success begins anew."""
    backlog = Backlog()
    for _ in range(20):
        backlog.failed("a")
        clock.ring()
        await backlog.take()
    assert clock.pauses[0] == FIRST_PAUSE * 2
    grown = [later / sooner for sooner, later in zip(clock.pauses, clock.pauses[1:], strict=False)]
    assert all(factor in {2, 1} or later == MOST_PAUSE for factor, later in zip(grown, clock.pauses[1:], strict=True))
    assert clock.pauses[-1] == MOST_PAUSE
    backlog.done("a")
    backlog.failed("a")
    assert clock.pauses[-1] == clock.pauses[0]


async def test_an_event_cuts_the_pause_short(clock):
    """A name that is added while it pauses is given at once, and once."""
    backlog = Backlog()
    backlog.failed("a")
    backlog.add("a")
    assert clock.due == []
    assert await backlog.take() == "a"
    assert len(backlog) == 0


async def test_two_who_fail_at_one_name(clock):
    """A name that failed twice at once, or waits again already, is not put twice."""
    backlog = Backlog()
    backlog.failed("a")
    backlog.failed("a")
    assert len(clock.due) == 1
    backlog.add("b")
    backlog.failed("b")
    assert len(clock.due) == 1
    assert len(backlog) == 2


@pytest.mark.parametrize("end", [Backlog.done, Backlog.failed])
async def test_one_looks_at_a_name(clock, end):
    """A name that is being looked at is given to nobody else, however often it is added; then once more, at once."""
    backlog = Backlog()
    backlog.add("a")
    assert await backlog.take() == "a"
    backlog.add("a")
    backlog.add("a")
    backlog.add("b")
    assert len(backlog) == 2
    assert await backlog.take() == "b"
    second = asyncio.create_task(backlog.take())
    await asyncio.sleep(0)
    assert not second.done()
    end(backlog, "a")
    assert await asyncio.wait_for(second, 5) == "a"
    assert clock.pauses == []
    backlog.done("a")
    assert len(backlog) == 0
