"""What the tests of batches use: a wire that holds them until they are let go, and a batcher over it."""

import asyncio
from dataclasses import dataclass, field

from services.chassis import call
from services.chassis.batch import TURNS, Batcher, Limits
from services.chassis.longest_first import LongestFirst
from services.chassis.telemetry import Metrics
from services.errors import Invalid

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


def batcher(wire: Wire, limits: Limits = LIMITS, shared: LongestFirst | None = None) -> Batcher:
    """Give a batcher over a wire, whose items' first member is the key. Keys 0 and 3, and 1 and 4, are of one owner.

    With `shared` it takes turns with the others that have the same.
    """
    return Batcher(
        "test",
        wire.send,
        Metrics(),
        limits=limits,
        key=lambda item: item[0],
        owner=lambda item: item[0] % 3,
        turns=shared,
    )


async def turns(count: int = 5 + 2 * TURNS) -> None:
    """Let the loop do what is due."""
    for _ in range(count):
        await asyncio.sleep(0)
