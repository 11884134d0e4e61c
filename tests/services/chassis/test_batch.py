"""The promises of riding together, held against random histories of callers, cancellations and answers."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis import call
from services.chassis.batch import TURNS, Batcher, Limits
from services.chassis.telemetry import Metrics
from services.errors import Fault, Invalid, OutcomeUnknown, Unavailable

LIMITS = Limits(batch=3, waiting=6, under_way=2)


@dataclass
class Wire:
    """What a batcher sends to: batches stay under way until they are let go."""

    under_way: dict[int, tuple[list, asyncio.Future]] = field(default_factory=dict)
    sent: list[list] = field(default_factory=list)
    calls: list[call.Call] = field(default_factory=list)
    most_at_once: int = 0

    async def send(self, items):
        """Answer each item with itself; a poisoned one, alone, with a fault."""
        number = len(self.sent)
        self.sent.append(list(items))
        self.calls.append(call.current())
        keys = [item[0] for batch, _ in self.under_way.values() for item in batch]
        assert not set(keys) & {item[0] for item in items}, "two items of one key are under way at once"
        gate = asyncio.get_running_loop().create_future()
        self.under_way[number] = (list(items), gate)
        self.most_at_once = max(self.most_at_once, len(self.under_way))
        try:
            await gate
        finally:
            del self.under_way[number]
        return [Invalid(f"poison {item}") if item[2] else item for item in items]

    def oldest(self) -> int | None:
        """Give the number of the oldest batch that is not on its way back."""
        return next((number for number, (_, gate) in self.under_way.items() if not gate.done()), None)

    def let_go(self, error: BaseException | None = None) -> None:
        """Let the oldest batch under way come back, or fail as a whole."""
        if (number := self.oldest()) is not None:
            gate = self.under_way[number][1]
            if error:
                gate.set_exception(error)
            else:
                gate.set_result(None)


def batcher(wire: Wire, limits: Limits = LIMITS) -> Batcher:
    """Give a batcher over a wire, whose items' first member is the key. Keys 0 and 3, and 1 and 4, are of one owner."""
    return Batcher(
        "test", wire.send, Metrics(), limits=limits, key=lambda item: item[0], owner=lambda item: item[0] % 3
    )


async def turns(count: int = 5 + 2 * TURNS) -> None:
    """Let the loop do what is due."""
    for _ in range(count):
        await asyncio.sleep(0)


ASK = st.tuples(st.just("ask"), st.integers(0, 4), st.booleans())
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 30), st.just(False))
COME_BACK = st.tuples(st.just("come back"), st.just(0), st.booleans())
TURN = st.tuples(st.just("turn"), st.just(0), st.just(False))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(ASK, ASK, ASK, CANCEL, COME_BACK, TURN), max_size=60))
def test_every_item_is_answered_once_in_its_own_right(history) -> None:
    """Whoever asks gets the outcome of their own item: sent once or not at all, in the order of its key, within the bounds."""
    life = Life()
    asyncio.run(asyncio.wait_for(life.go_through(history), 30))
    life.judge()


@dataclass
class Life:
    """A batcher with callers, whose history is known."""

    wire: Wire = field(default_factory=Wire)
    asked: list = field(default_factory=list)
    lost: set = field(default_factory=set)
    """Batches that came back as a fault."""
    withdrawn: set = field(default_factory=set)

    async def go_through(self, history) -> None:
        """Do one thing after the other, and then let everything come to its end."""
        batch = batcher(self.wire)
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
        closing = asyncio.create_task(batch.close())
        while not closing.done():  # what was cancelled after it was sent is still under way
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


async def test_a_lone_item_goes_at_once() -> None:
    """While nothing is under way an item is sent in the next turn of the loop; no timer runs."""
    wire = Wire()
    task = asyncio.create_task(batcher(wire).ask((1, 0, False)))
    await turns()
    assert wire.sent == [[(1, 0, False)]]
    wire.let_go()
    assert await task == (1, 0, False)


async def test_who_comes_meanwhile_rides_in_the_next_one() -> None:
    """What is asked for while a batch is under way does not join it, and goes out together when it is back."""
    wire = Wire()
    batch = batcher(wire, Limits(batch=8, waiting=8, under_way=1))
    tasks = [asyncio.create_task(batch.ask((0, 0, False)))]
    await turns()
    tasks += [asyncio.create_task(batch.ask((number, number, False))) for number in range(1, 6)]
    await turns()
    assert len(wire.sent) == 1
    wire.let_go()
    await turns()
    assert [len(one) for one in wire.sent] == [1, 5]
    wire.let_go()
    await asyncio.gather(*tasks)


async def test_what_is_asked_for_within_a_few_turns_goes_out_together() -> None:
    """Items that are asked for in successive turns of the loop, as one reply sets them going, ride in one batch."""
    wire = Wire()
    batch = batcher(wire, Limits(batch=8, waiting=8, under_way=2))

    async def ask_later(number: int) -> None:
        await turns(number)
        await batch.ask((number, number, False))

    tasks = [asyncio.create_task(ask_later(number)) for number in range(TURNS + 1)]
    await turns()
    assert [len(one) for one in wire.sent] == [TURNS + 1]
    wire.let_go()
    await asyncio.gather(*tasks)


async def test_what_does_not_fit_is_refused_unsent() -> None:
    """More items than may wait are refused at once, and never sent."""
    wire = Wire()
    batch = batcher(wire, Limits(batch=1, waiting=2, under_way=1))
    tasks = [asyncio.create_task(batch.ask((0, 0, False)))]
    await turns()
    tasks += [asyncio.create_task(batch.ask((number, number, False))) for number in (1, 2)]
    await turns()
    with pytest.raises(Unavailable, match="too many"):
        await batch.ask((3, 3, False))
    while any(not task.done() for task in tasks):
        wire.let_go()
        await turns()
    assert [one[0][0] for one in wire.sent] == [0, 1, 2]


@pytest.mark.parametrize(("sent", "fault"), [(True, OutcomeUnknown), (False, Unavailable)])
async def test_an_item_has_its_own_deadline(sent, fault) -> None:
    """An item whose time is over is Unavailable while it waits and OutcomeUnknown once it is sent; its neighbours wait on."""
    wire = Wire()
    batch = batcher(wire, Limits(batch=2, waiting=8, under_way=1))
    first = asyncio.create_task(batch.ask((0, 0, False)))
    if not sent:
        await turns()
    with call.within(call.incoming("", "", seconds=0.01)):
        hasty = asyncio.create_task(batch.ask((1, 1, False)))
    with pytest.raises(fault):
        await hasty
    wire.let_go()
    assert await first == (0, 0, False)
    assert wire.sent == ([[(0, 0, False), (1, 1, False)]] if sent else [[(0, 0, False)]])


async def test_an_item_that_waits_too_long_is_refused_unsent() -> None:
    """Behind a batch that hangs an item waits so many seconds and is then Unavailable, whatever time its request has."""
    wire = Wire()
    batch = batcher(wire, Limits(batch=2, waiting=8, under_way=1, wait_seconds=0.01))
    first = asyncio.create_task(batch.ask((0, 0, False)))
    await turns()
    with pytest.raises(Unavailable):
        await batch.ask((1, 1, False))
    assert not first.done()  # it was sent, and has the time of its request
    wire.let_go()
    assert await first == (0, 0, False)
    assert wire.sent == [[(0, 0, False)]]


async def test_deadlines_that_come_out_of_order_are_kept() -> None:
    """One timer serves all: an item that ends before those that came earlier is not kept waiting, and the others are seen to."""
    wire = Wire()
    batch = batcher(wire, Limits(batch=8, waiting=8, under_way=1))
    tasks = []
    for number, seconds in enumerate((30, 0.02, 0.01, 0.03)):
        with call.within(call.incoming("", "", seconds=seconds)):
            tasks.append(asyncio.create_task(batch.ask((number, number, False))))
    done: list[int] = []
    for number, task in enumerate(tasks):
        task.add_done_callback(lambda _, number=number: done.append(number))
    await asyncio.wait(tasks[1:])
    assert (done, all(isinstance(task.exception(), OutcomeUnknown) for task in tasks[1:])) == ([2, 1, 3], True)
    wire.let_go()
    assert await tasks[0] == (0, 0, False)


async def test_a_batch_has_the_longest_time_of_its_items() -> None:
    """The call of a batch ends with the last deadline of its items, and never where one has none."""
    for seconds, bounded in [((1, 5), True), ((1, None), False)]:
        wire = Wire()
        batch = batcher(wire)
        tasks = []
        for number, left in enumerate(seconds):
            with call.within(call.incoming("", "", seconds=left)):
                tasks.append(asyncio.create_task(batch.ask((number, number, False))))
        await turns()
        remaining = wire.calls[0].remaining()
        assert (remaining is not None and remaining > 1) if bounded else remaining is None
        wire.let_go()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("outcomes", [[], [1, 2]])
async def test_a_wrong_number_of_outcomes_is_no_answer(outcomes) -> None:
    """Where the number of outcomes is not that of the items, nothing in them is trusted."""

    async def send(_):
        return outcomes

    with pytest.raises(OutcomeUnknown):
        await Batcher("test", send, Metrics()).ask(0)


async def test_a_closed_batcher_answers_what_is_there() -> None:
    """Closing waits for every item that was taken, and refuses new ones."""
    wire = Wire()
    batch = batcher(wire, Limits(batch=1, waiting=8, under_way=1))
    tasks = [asyncio.create_task(batch.ask((number, number, False))) for number in range(3)]
    await turns()
    closing = asyncio.create_task(batch.close())
    await turns()
    with pytest.raises(Fault):
        await batch.ask((9, 9, False))
    while not closing.done():
        wire.let_go()
        await turns()
    assert [await task for task in tasks] == [(number, number, False) for number in range(3)]


async def test_the_time_of_a_batch_is_counted() -> None:
    """A batch is timed until its outcomes are there, and one that fails is too."""
    metrics = Metrics()

    async def send(values):
        if values == [1]:
            raise Fault("away")
        return values

    batch = Batcher("test", send, metrics)
    assert await batch.ask(0) == 0
    with pytest.raises(Fault):
        await batch.ask(1)
    assert metrics.registry.get_sample_value("cartwright_batch_seconds_count", {"batch": "test"}) == 2
