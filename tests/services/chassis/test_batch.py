"""The promises of riding together, one by one."""

import asyncio

import pytest

from services.chassis import call
from services.chassis.batch import MOST_TURNS, TURNS, Batcher, Limits
from services.chassis.telemetry import Metrics
from services.errors import Fault, OutcomeUnknown, Unavailable
from tests.services.chassis.batching import Wire, batcher, turns


async def test_a_lone_item_goes_at_once() -> None:
    """While nothing is under way an item is sent after a few turns of the loop; no timer runs."""
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


async def test_a_batch_is_gathered_while_others_come() -> None:
    """Who asks within a few turns of the one before rides along, however long ago the first one asked."""
    wire = Wire()
    batch = batcher(wire, Limits(batch=8, waiting=8, under_way=1))
    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(batch.ask((number, number, False))))
        await turns(TURNS - 1)
    assert wire.sent == []
    await turns()
    assert [len(one) for one in wire.sent] == [5]
    wire.let_go()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(("limits", "within"), [(Limits(batch=8), 12), (Limits(batch=1024), MOST_TURNS + 4)])
async def test_those_who_keep_coming_hold_up_nobody(limits, within) -> None:
    """A batch goes out when it is full, and after so many turns, though somebody asks in every turn."""
    wire = Wire()
    batch = batcher(wire, limits)
    tasks = []
    for number in range(within):
        tasks.append(asyncio.create_task(batch.ask((number, number, False))))
        await turns(1)
    assert len(wire.sent) == 1
    while any(not task.done() for task in tasks):
        wire.let_go()
        await turns(MOST_TURNS)


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
    await turns()
    assert metrics.registry.get_sample_value("cartwright_batch_seconds_count", {"batch": "test"}) == 2
