"""The work queue: each name once, in its turn, and again later after a failure."""

import asyncio

import pytest

from checkout_operator import workqueue as module
from checkout_operator.workqueue import BASE_DELAY, GATHER_SECONDS, MAX_DELAY, WorkQueue


class Clock:
    """Stands in for the loop's timers, and keeps the delays that were asked for."""

    def __init__(self):
        self.delays, self.due, self.now = [], [], 0.0

    def get_running_loop(self):
        return self

    def time(self):
        return self.now

    async def sleep(self, seconds):
        """Let the time pass."""
        self.now += seconds

    def call_later(self, delay, call, *args):
        self.delays.append(delay)
        self.due.append((call, args))
        return self

    def cancel(self):
        self.due.clear()

    def fire(self):
        """Let the last delay end."""
        call, args = self.due.pop()
        call(*args)


@pytest.fixture
def clock(monkeypatch):
    """The timers of the queue."""
    clock = Clock()
    monkeypatch.setattr(module, "asyncio", clock)
    clock.Event = asyncio.Event
    return clock


async def test_a_name_waits_once():
    """However often a name is added it waits once, in its turn."""
    queue = WorkQueue()
    for name in ("a", "b", "a", "a"):
        queue.add(name)
    assert len(queue) == 2
    assert [await queue.get(1), await queue.get(1)] == [["a"], ["b"]]
    assert len(queue) == 2  # what workers hold is here until it is done
    queue.done("a")
    queue.retry("b")
    assert len(queue) == 1


async def test_names_ride_together():
    """A worker gets all that wait, up to its limit and in their turn; a name that another worker holds is not among them."""
    queue = WorkQueue()
    for name in ("a", "b", "c", "d"):
        queue.add(name)
    assert await queue.get(1) == ["a"]
    queue.add("a")
    assert await queue.get(2) == ["b", "c"]
    assert await queue.get(50) == ["d"]
    queue.done("a")
    assert await queue.get(50) == ["a"]


async def test_names_gather(clock):
    """A lone name is handed out at once. Those that come soon after it gather, unless there are enough for a full call."""
    queue = WorkQueue()
    queue.add("a")
    assert (await queue.get(3), clock.now) == (["a"], 0)
    queue.add("b")
    sleep, clock.sleep = clock.sleep, lambda seconds: (queue.add("c"), sleep(seconds))[1]
    assert (await queue.get(3), clock.now) == (["b", "c"], GATHER_SECONDS)
    for name in ("d", "e", "f"):
        queue.add(name)
    assert (await queue.get(3), clock.now) == (["d", "e", "f"], GATHER_SECONDS)
    clock.now += GATHER_SECONDS
    queue.add("g")
    assert (await queue.get(3), clock.now) == (["g"], 2 * GATHER_SECONDS)


async def test_a_worker_waits():
    """A worker that finds nothing waits for the next name; of several that wait, each gets one."""
    queue = WorkQueue()
    workers = [asyncio.create_task(queue.get(1)) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    assert sorted(await asyncio.wait_for(asyncio.gather(*workers), 5)) == [["a"], ["b"]]


async def test_what_failed_comes_again_by_itself():
    """A name that failed is returned again without being added."""
    queue = WorkQueue()
    queue.add("a")
    queue.retry(*await queue.get(1))
    assert len(queue) == 1
    assert await asyncio.wait_for(queue.get(1), 5) == ["a"]


async def test_delays_grow_and_end(clock):
    """Each failure in a row doubles the delay, up to a maximum; one success resets it."""
    queue = WorkQueue()
    for _ in range(20):
        queue.retry("a")
        clock.fire()
        await queue.get(1)
    assert clock.delays[0] == BASE_DELAY * 2
    grown = [later / sooner for sooner, later in zip(clock.delays, clock.delays[1:], strict=False)]
    assert all(factor in {2, 1} or later == MAX_DELAY for factor, later in zip(grown, clock.delays[1:], strict=True))
    assert clock.delays[-1] == MAX_DELAY
    queue.done("a")
    queue.retry("a")
    assert clock.delays[-1] == clock.delays[0]


async def test_an_event_cuts_the_delay_short(clock):
    """A name that is added while it is delayed is returned at once, and once."""
    queue = WorkQueue()
    queue.retry("a")
    queue.add("a")
    assert clock.due == []
    assert await queue.get(1) == ["a"]
    queue.done("a")
    assert len(queue) == 0


async def test_two_failures_of_one_name(clock):
    """A name that failed twice at once, or waits again already, is not queued twice."""
    queue = WorkQueue()
    queue.retry("a")
    queue.retry("a")
    assert len(clock.due) == 1
    queue.add("b")
    queue.retry("b")
    assert len(clock.due) == 1
    assert len(queue) == 2


@pytest.mark.parametrize("end", [WorkQueue.done, WorkQueue.retry])
async def test_one_worker_holds_a_name(clock, end):
    """A name that a worker holds goes to no other worker, however often it is added; then once more, at once."""
    queue = WorkQueue()
    queue.add("a")
    assert await queue.get(1) == ["a"]
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert len(queue) == 2
    assert await queue.get(1) == ["b"]
    queue.done("b")
    second = asyncio.create_task(queue.get(1))
    await asyncio.sleep(0)
    assert not second.done()
    end(queue, "a")
    assert await asyncio.wait_for(second, 5) == ["a"]
    assert clock.delays == []
    queue.done("a")
    assert len(queue) == 0
