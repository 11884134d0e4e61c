"""The promises of riding together, held against random histories of callers, cancellations and answers."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis import longest_first
from services.chassis.longest_first import LongestFirst
from services.errors import Invalid, OutcomeUnknown, Unavailable
from tests.services.chassis.batching import LIMITS, Wire, batcher, turns

ASK = st.tuples(st.just("ask"), st.integers(0, 4), st.booleans())
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 30), st.just(False))
COME_BACK = st.tuples(st.just("come back"), st.just(0), st.booleans())
TURN = st.tuples(st.just("turn"), st.just(0), st.just(False))
HISTORY = st.lists(st.one_of(ASK, ASK, ASK, CANCEL, COME_BACK, TURN), max_size=60)


@settings(max_examples=100, deadline=None)
@given(HISTORY)
def test_every_item_is_answered_once_in_its_own_right(history) -> None:
    """Whoever asks gets the outcome of their own item: sent once or not at all, in the order of its key, within the bounds."""
    life = Life()
    asyncio.run(asyncio.wait_for(life.go_through(history), 30))
    life.judge()


@settings(max_examples=100, deadline=None)
@given(HISTORY, HISTORY)
def test_so_is_every_item_of_batchers_that_take_turns(one, other) -> None:
    """Two batchers that take turns keep the same promises, and both come to their end whatever happens to the other."""

    async def both(lives) -> None:
        await asyncio.wait_for(asyncio.gather(lives[0].go_through(one), lives[1].go_through(other)), 30)

    shared = LongestFirst()
    lives = [Life(shared=shared), Life(shared=shared)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(longest_first, "HOLD_SECONDS", 60.0)  # a turn that is lost is not given back by the clock
        asyncio.run(both(lives))
    for life in lives:
        life.judge()


@dataclass
class Life:
    """A batcher with callers, whose history is known."""

    wire: Wire = field(default_factory=Wire)
    shared: LongestFirst | None = None
    asked: list = field(default_factory=list)
    lost: set = field(default_factory=set)
    """Batches that came back as a fault."""
    withdrawn: set = field(default_factory=set)

    async def go_through(self, history) -> None:
        """Do one thing after the other, and then let everything come to its end."""
        batch = batcher(self.wire, shared=self.shared)
        for what, number, flag in history:
            if what == "ask":
                item = (number, len(self.asked), flag)
                self.asked.append((item, asyncio.create_task(batch.ask(item))))
            elif what == "cancel" and number < len(self.asked):
                self.cancel(*self.asked[number])
            elif what == "come back":
                self.come_back(lost=flag)
            await asyncio.sleep(0)
        while any(not task.done() for _, task in self.asked):
            self.come_back(lost=False)
            await turns()
        while self.wire.oldest() is not None:  # what was cancelled after it was sent is still under way
            self.come_back(lost=False)
            await turns()

    def cancel(self, item, task) -> None:
        """End a caller."""
        if not task.done() and not any(item in one for one in self.wire.sent):
            self.withdrawn.add(item)
        task.cancel()

    def come_back(self, *, lost: bool) -> None:
        """Let the oldest batch under way come back."""
        oldest = self.wire.oldest()
        if lost and oldest is not None:
            self.lost.add(oldest)
        self.wire.let_go(OutcomeUnknown("lost") if lost else None)

    def judge(self) -> None:
        """Hold what has happened against the promises."""
        where = {item: number for number, one in enumerate(self.wire.sent) for item in one}
        assert len(where) == sum(map(len, self.wire.sent)), "an item was sent twice"
        assert all(len(one) <= LIMITS.batch for one in self.wire.sent)
        assert self.wire.most_at_once <= LIMITS.under_way
        by_key = defaultdict(list)
        for key, number, _ in (item for one in self.wire.sent for item in one):
            by_key[key].append(number)
        assert all(numbers == sorted(numbers) for numbers in by_key.values()), "out of order"
        assert not self.withdrawn & set(where), "a withdrawn item was sent"
        for item, task in self.asked:
            if not task.cancelled():
                self.judge_answer(item, task, where.get(item))

    def judge_answer(self, item, task, number) -> None:
        """Hold one answer against what became of its item."""
        fault = task.exception()
        if number is None:
            assert isinstance(fault, Unavailable)
        elif number in self.lost:
            assert isinstance(fault, OutcomeUnknown)
        elif item[2]:
            assert isinstance(fault, Invalid)
            assert str(fault) == f"poison {item}"
        else:
            assert task.result() == item
