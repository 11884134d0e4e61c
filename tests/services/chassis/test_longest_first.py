"""The promises of taking turns: one batch at a time, the longest queue first, and nobody waits for ever."""

import asyncio
from collections.abc import Iterable

import pytest

from services.chassis import call, longest_first
from services.chassis.batch import Batcher, Limits
from services.chassis.longest_first import LongestFirst
from services.errors import OutcomeUnknown, Unavailable
from tests.services.chassis.batching import Wire, batcher, turns

LIMITS = Limits(batch=8, waiting=64, under_way=2)


class Queues:
    """Three queues that take turns, each over a wire of its own."""

    def __init__(self) -> None:
        shared = LongestFirst()
        self.wires = [Wire(), Wire(), Wire()]
        self.batchers: list[Batcher] = [batcher(wire, LIMITS, shared) for wire in self.wires]
        self.tasks: list[asyncio.Task] = []

    def ask(self, queue: int, keys: Iterable[int]) -> None:
        """Ask for an item of each key."""
        self.tasks += [asyncio.create_task(self.batchers[queue].ask((key, key, False))) for key in keys]

    def sent(self) -> list[list[int]]:
        """Give how many items each batch of each queue has."""
        return [[len(batch) for batch in wire.sent] for wire in self.wires]

    async def end(self) -> None:
        """Let everything come back until all have their answers."""
        async with asyncio.timeout(5):
            while any(not task.done() for task in self.tasks):
                for wire in self.wires:
                    wire.let_go()
                await turns()


@pytest.fixture
async def queues():
    """Give three queues that take turns, and answer what is left in them at the end."""
    queues = Queues()
    yield queues
    await queues.end()


@pytest.fixture
def no_hold(monkeypatch):
    """A batch holds up the others for as long as it is under way, and no queue loses its patience: no clock decides."""
    monkeypatch.setattr(longest_first, "HOLD_SECONDS", 60.0)
    monkeypatch.setattr(longest_first, "PATIENCE_SECONDS", 60.0)


async def lose_the_turn(queues, monkeypatch):
    """Have the batch of queue 0 hang until its turn is over, and give queue 1 the turn, which it keeps."""
    monkeypatch.setattr(longest_first, "HOLD_SECONDS", 0.01)
    queues.ask(0, [0])
    await turns()
    monkeypatch.setattr(longest_first, "HOLD_SECONDS", 60.0)
    queues.ask(1, [0])
    async with asyncio.timeout(5):
        while not queues.wires[1].sent:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("no_hold")
async def test_one_queue_sends_at_a_time(queues) -> None:
    """While a batch of one queue is under way, the others gather; they go when it is back."""
    queues.ask(0, [0])
    await turns()
    queues.ask(1, [0])
    await turns()
    queues.ask(1, [1, 2])
    await turns()
    assert queues.sent() == [[1], [], []]
    queues.wires[0].let_go()
    await turns()
    assert queues.sent() == [[1], [3], []]


@pytest.mark.usefixtures("no_hold")
async def test_the_longest_queue_goes_first(queues) -> None:
    """Of the queues that wait the one with the most items goes next, whichever waited first."""
    queues.ask(0, [0])
    await turns()
    queues.ask(1, range(2))
    await turns()
    queues.ask(2, range(3))
    queues.ask(0, range(1, 2))
    await turns()
    queues.wires[0].let_go()
    await turns()
    assert queues.sent() == [[1], [], [3]]
    queues.wires[2].let_go()
    await turns()
    assert queues.sent() == [[1], [2], [3]]


@pytest.mark.usefixtures("no_hold")
async def test_a_short_queue_gets_its_turn(queues, monkeypatch) -> None:
    """A queue that has waited for longer than PATIENCE_SECONDS goes before longer ones."""
    monkeypatch.setattr(longest_first, "PATIENCE_SECONDS", -1.0)
    queues.ask(0, [0])
    await turns()
    queues.ask(1, [0])
    await turns()
    queues.ask(2, range(5))
    await turns()
    queues.wires[0].let_go()
    await turns()
    assert queues.sent() == [[1], [1], []]


async def test_a_batch_that_hangs_does_not_stop_the_others(queues, monkeypatch) -> None:
    """The others go HOLD_SECONDS after a batch began, though it has not come back; it keeps its answer."""
    await lose_the_turn(queues, monkeypatch)
    queues.wires[1].let_go()
    assert await queues.tasks[1] == (0, 0, False)
    assert not queues.tasks[0].done()
    queues.wires[0].let_go()
    assert await queues.tasks[0] == (0, 0, False)


@pytest.mark.usefixtures("no_hold")
async def test_a_batch_that_comes_back_late_ends_no_turn_but_its_own(queues, monkeypatch) -> None:
    """A batch whose turn was over before it came back lets nobody go while another has the turn."""
    await lose_the_turn(queues, monkeypatch)
    queues.ask(2, [0])
    queues.wires[0].let_go()
    await turns()
    assert queues.sent() == [[1], [1], []]


@pytest.mark.usefixtures("no_hold")
async def test_a_full_batch_needs_no_turn(queues) -> None:
    """A batch that cannot grow goes at once, whoever has the turn."""
    queues.ask(0, [0])
    await turns()
    queues.ask(1, range(LIMITS.batch - 1))
    await turns()
    assert queues.sent() == [[1], [], []]
    queues.ask(1, [LIMITS.batch])
    await turns()
    assert queues.sent() == [[1], [LIMITS.batch], []]


@pytest.mark.usefixtures("no_hold")
async def test_what_cannot_go_makes_no_queue_long(queues) -> None:
    """Items of one key count as one, since they go one after the other: who asks for much has no more turns for it."""
    queues.ask(0, [0])
    await turns()
    queues.ask(1, [0] * 20)
    queues.ask(2, range(2))
    await turns()
    queues.wires[0].let_go()
    await turns()
    assert queues.sent() == [[1], [], [2]]


@pytest.mark.usefixtures("no_hold")
async def test_a_queue_whose_keys_are_all_under_way_keeps_no_turn(queues, monkeypatch) -> None:
    """Items whose key is under way wait for it to come back, and hold up nobody meanwhile."""
    await lose_the_turn(queues, monkeypatch)
    queues.ask(0, [0])
    queues.wires[1].let_go()
    await turns()
    queues.ask(2, [0])
    await turns()
    assert queues.sent() == [[1], [1], [1]]


@pytest.mark.usefixtures("no_hold")
@pytest.mark.parametrize("error", [OutcomeUnknown("lost"), asyncio.CancelledError()])
async def test_a_batch_that_fails_gives_its_turn_back(queues, error) -> None:
    """After a batch that failed as a whole the next queue goes."""
    queues.ask(0, [0])
    await turns()
    queues.ask(1, [0])
    await turns()
    queues.wires[0].let_go(error)
    await turns()
    assert queues.sent() == [[1], [1], []]
    with pytest.raises(OutcomeUnknown):
        await queues.tasks.pop(0)


@pytest.mark.usefixtures("no_hold")
async def test_a_queue_whose_callers_leave_keeps_no_turn(queues) -> None:
    """A queue whose only caller leaves while its batch is gathered lets the next one go."""
    queues.ask(0, [0])
    await turns(2)
    queues.tasks.pop().cancel()
    await turns(2)
    queues.ask(1, [0])
    await turns()
    assert queues.sent() == [[], [1], []]


@pytest.mark.usefixtures("no_hold")
async def test_a_queue_that_is_empty_by_then_is_passed_over(queues, monkeypatch) -> None:
    """A queue whose callers all left while it waited does not go, though its turn comes first."""
    monkeypatch.setattr(longest_first, "PATIENCE_SECONDS", -1.0)
    queues.ask(0, [0])
    await turns()
    queues.ask(1, [0])
    await turns()
    queues.ask(2, [0])
    await turns()
    queues.tasks.pop(1).cancel()
    await turns()
    queues.wires[0].let_go()
    await turns()
    assert queues.sent() == [[1], [], [1]]


@pytest.mark.usefixtures("no_hold")
async def test_an_item_that_waits_for_a_turn_has_its_own_deadline(queues) -> None:
    """An item whose time is over before its queue has the turn is refused unsent."""
    queues.ask(0, [0])
    await turns()
    with call.within(call.incoming("", "", seconds=0.01)), pytest.raises(Unavailable):
        await queues.batchers[1].ask((0, 0, False))
    queues.wires[0].let_go()
    await turns()
    assert queues.sent() == [[1], [], []]


@pytest.mark.usefixtures("no_hold")
async def test_those_who_come_one_by_one_ride_together_from_step_to_step(queues) -> None:
    """Of six who take three steps, and who begin one after the other, more take the last step together than the first."""

    async def saga(key: int) -> None:
        for step in range(3):
            await queues.batchers[step].ask((key, key, False))

    async def let_go_of_the_batch_under_way() -> None:
        for wire in queues.wires:
            wire.let_go()
        await turns()

    for key in range(6):
        queues.tasks.append(asyncio.create_task(saga(key)))
        await turns()
        if key in (2, 4):
            await let_go_of_the_batch_under_way()
    async with asyncio.timeout(5):
        while any(not task.done() for task in queues.tasks):
            await let_go_of_the_batch_under_way()
    assert sum(queues.sent()[0]) == sum(queues.sent()[2]) == 6
    assert len(queues.sent()[0]) > len(queues.sent()[2])
