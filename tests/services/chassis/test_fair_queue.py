"""Owners take turns, held against random histories; and what that means for the callers of a batcher."""

import asyncio
from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.batch import Batcher, Limits
from services.chassis.fair_queue import FairQueue
from services.chassis.telemetry import Metrics
from tests.services.chassis.batching import turns

PUT = st.tuples(st.just("put"), st.integers(0, 3), st.booleans())
DISCARD = st.tuples(st.just("discard"), st.integers(0, 40), st.just(False))
TAKE = st.tuples(st.just("take"), st.integers(0, 6), st.booleans())


@given(st.lists(st.one_of(PUT, PUT, PUT, DISCARD, TAKE), max_size=80))
def test_nobody_gets_two_more_than_who_waits(history) -> None:
    """Of what may go, as much is taken as fits, in the order of each owner; no owner gets two more than one who still waits."""
    queue: FairQueue = FairQueue()
    waiting: list = []
    for number, (what, size, flag) in enumerate(history):
        if what == "put":
            waiting.append((size, number, flag))
            queue.put(size, waiting[-1])
        elif what == "discard" and size < len(waiting):
            queue.discard(waiting[size][0], waiting[size])
            queue.discard(waiting[size][0], waiting[size])
            del waiting[size]
        elif what == "take":
            # An item with a flag cannot go while flag is not set: its key is busy.
            free = [item for item in waiting if flag or not item[2]]
            taken = queue.take(size, lambda item, flag=flag: flag or not item[2])
            judge(taken, free, size)
            waiting = [item for item in waiting if item not in taken]
        assert len(queue) == len(waiting)
        assert sorted(queue) == sorted(waiting)


def judge(taken, free, size) -> None:
    """Hold what was taken against what could have been."""
    assert len(taken) == min(size, len(free))
    assert len(set(taken)) == len(taken)
    numbers = defaultdict(list)
    for item in taken:
        numbers[item[0]].append(item)
    for owner, items in numbers.items():
        assert items == [item for item in free if item[0] == owner][: len(items)]
    counts = Counter(item[0] for item in taken)
    left = {item[0] for item in free if item not in taken}
    for owner in left:
        assert max(counts.values(), default=0) <= counts[owner] + 1


def test_turns_go_on_where_they_ended() -> None:
    """Who had no place in one batch comes first in the next: with more owners than places nobody waits for ever."""
    queue: FairQueue = FairQueue()
    for owner in range(5):
        for number in range(3):
            queue.put(owner, (owner, number))
    batches = [queue.take(2, lambda _: True) for _ in range(8)]
    assert [owner for batch in batches for owner, _ in batch] == [0, 1, 2, 3, 4] * 3


async def test_one_who_asks_for_much_does_not_displace_the_others() -> None:
    """A user with 64 requests under way and one with a single one: the single one rides in the next batch."""
    sent: list[list[tuple[int, int]]] = []
    gate = asyncio.Event()

    async def send(items):
        sent.append(list(items))
        await gate.wait()
        return list(items)

    batcher: Batcher = Batcher("test", send, Metrics(), limits=Limits(batch=4), owner=lambda item: item[0])
    tasks = [asyncio.create_task(batcher.ask((1, number))) for number in range(64)]
    await turns()
    assert len(sent) == 1
    tasks.append(asyncio.create_task(batcher.ask((2, 0))))
    await turns()
    gate.set()
    await asyncio.gather(*tasks)
    assert (2, 0) in sent[1]
    assert [item for batch in sent for item in batch if item[0] == 1] == [(1, number) for number in range(64)]
