"""Riding together: calls that are made while another is under way go out in one call, as group commit does.

A lone call goes out within a few turns of the event loop; under load a batch grows by itself. No timer gathers. An item joins
only a batch that has not been sent: what it reads was committed no earlier than it asked.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from services.chassis import call, tracing
from services.chassis.fair_queue import FairQueue
from services.chassis.longest_first import LongestFirst, Turn
from services.chassis.telemetry import Metrics
from services.error_codes import ErrorCode
from services.errors import OutcomeUnknown, Unavailable

I = TypeVar("I")  # noqa: E741 - an item
O = TypeVar("O")  # noqa: E741 - an outcome

TURNS = 4
"""A batch is gathered until nobody has asked for so many turns of the event loop. What one reply sets going asks within a few
turns, not within the same one, and so nearly all of 64 buyers ride in one batch."""
MOST_TURNS = 64
"""For so many turns a batch is gathered at most: a trickle that never ends holds up nobody."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many items a batch holds, how many may wait and for how long, and how many batches may be under way."""

    batch: int = 64
    waiting: int = 1024
    under_way: int = 1
    wait_seconds: float = math.inf
    """An item that has not been sent by then is refused: what stands before it takes too long."""


class _Item(msgspec.Struct, Generic[I, O], eq=False):
    value: I
    key: Hashable
    owner: Hashable
    asked: call.Call
    answer: "asyncio.Future[O]"
    since: float
    sent: bool = False

    def ends_at(self, wait_seconds: float) -> float:
        """Return when its caller gets a fault if it has no answer by then."""
        deadline = math.inf if self.asked.deadline is None else self.asked.deadline
        return deadline if self.sent else min(deadline, self.since + wait_seconds)


class Batcher(Generic[I, O]):
    """Gathers the items of concurrent callers, and sends them in batches.

    `send` gets items and gives an outcome or an error for each, in their order; an error that it raises is every item's. Two
    items of one key are never under way at once, and go out in the order in which they came. While more items wait than a
    batch holds, owners take turns, so that one who asks for much does not displace the others.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[I]], Awaitable[Sequence[O | Exception]]],
        metrics: Metrics,
        *,
        limits: Limits = Limits(),
        key: Callable[[I], Hashable] | None = None,
        owner: Callable[[I], Hashable] | None = None,
        stamp: Callable[[I], I] | None = None,
        turns: LongestFirst | None = None,
    ) -> None:
        """Take a name for the metrics and traces, what sends a batch, and what of an item is its key and its owner.

        Without `key` an item has none. Without `owner` all items have the same one. `stamp` returns an item with the ids of
        the request under way, where it holds such. With `turns` it takes turns with the others that have the same.
        """
        self._name = name
        self._stamp = stamp
        self._send = send
        self._turns = turns
        self._turn: Turn | None = None  # of the batch that is being gathered
        self._limits = limits
        self._key = key
        self._owner = owner
        self._waiting: FairQueue[_Item[I, O]] = FairQueue()
        self._busy: set[Hashable] = set()
        self._under_way: dict[asyncio.Task[None], Sequence[_Item[I, O]]] = {}
        self._scheduled = False
        self._asked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf
        self._sizes = metrics.batch_items.labels(name)
        self._waits = metrics.batch_waits.labels(name)
        self._took = metrics.batch_seconds.labels(name)
        self._shed = metrics.batch_shed.labels(name)

    def ask(self, value: I) -> Coroutine[Any, Any, O]:
        """Send an item with the next batch, and give its outcome or raise its fault.

        Unavailable: it was not sent, because too many wait, or it waited too long. OutcomeUnknown: it was sent, and the
        request's time was over before an answer came. A caller that is cancelled withdraws an item that has not been sent.
        """
        now = call.current()
        ride = tracing.ride(self._name, now)
        return self._ask(value, now) if ride is None else self._ask_within(ride, value)

    async def _ask_within(self, ride: tracing.Span, value: I) -> O:
        with ride:
            return await self._ask(value, call.current())

    async def _ask(self, value: I, now: call.Call) -> O:
        if self._stamp is not None:
            value = self._stamp(value)
        if len(self._waiting) >= self._limits.waiting:
            self._shed.inc()
            raise Unavailable("too many requests wait; try again", code=ErrorCode.OVERLOADED)
        self._asked += 1
        item: _Item[I, O] = _Item(
            value,
            self._key(value) if self._key else None,
            self._owner(value) if self._owner else None,
            now,
            asyncio.get_running_loop().create_future(),
            time.monotonic(),
        )
        ends_at = item.ends_at(self._limits.wait_seconds)
        if ends_at < self._looks_at:
            self._look_at(ends_at)
        self._waiting.put(item.owner, item)
        self.go()
        try:
            return await item.answer
        finally:
            if not item.sent:
                self._waiting.discard(item.owner, item)

    @property
    def ready(self) -> int:
        """How many items the next batch would have: those whose key is not under way, one of each, as many as fit."""
        if self._key is None:
            return min(len(self._waiting), self._limits.batch)
        waiting = {item.key for item in self._waiting}
        return min(len(waiting - self._busy), self._limits.batch)

    def go(self) -> None:
        """Send a batch once those that are asked for in the next turns of the loop are there too.

        It is not sent while as many batches as may be are under way, or while another has the turn. A full batch needs no
        turn: it gains nothing by waiting, and processors that are free can work at several batches.
        """
        if not self._scheduled and self._waiting and len(self._under_way) < self._limits.under_way:
            if self._turns is not None and not self._is_full():
                self._turn = self._turns.enter(self)
                if self._turn is None:
                    return
            self._scheduled = True
            # A context of its own: a batch is nobody's, so it must not run with what the first caller has set.
            asyncio.get_running_loop().call_soon(self._gather, TURNS, MOST_TURNS, self._asked, context=Context())

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._limits.batch and self.ready == self._limits.batch

    def _gather(self, turns: int, most: int, asked: int) -> None:
        """Send a batch after `turns` more turns of the loop in which nobody asks, or `most` turns, or when it is full.

        `asked`: how many had asked a turn ago.
        """
        if self._asked != asked:
            turns = TURNS
        if turns and most and len(self._waiting) < self._limits.batch:
            asyncio.get_running_loop().call_soon(self._gather, turns - 1, most - 1, self._asked)
        else:
            self._scheduled = False
            self._start()

    def _start(self) -> None:
        """Send what may go of those who wait."""
        turn, self._turn = self._turn, None
        if batch := self._waiting.take(self._limits.batch, self._may_go):
            task = asyncio.get_running_loop().create_task(self._carry(batch))
            self._under_way[task] = batch
            task.add_done_callback(partial(self._ended, turn))
            self.go()
        elif turn is not None:
            turn.end()

    def _may_go(self, item: _Item[I, O]) -> bool:
        """Return whether an item can join the batch that is being made, and note its key as busy if so."""
        if item.answer.done():  # its caller has left or its time is over; it is removed when the caller runs
            return False
        if item.key is not None:
            if item.key in self._busy:
                return False
            self._busy.add(item.key)
        return True

    async def _carry(self, batch: Sequence[_Item[I, O]]) -> None:
        try:
            if going := [item for item in batch if not item.answer.done()]:  # some may just have been withdrawn
                await self._deliver(going)
        finally:
            self._busy.difference_update(item.key for item in batch)

    async def _deliver(self, batch: Sequence[_Item[I, O]]) -> None:
        sent_at = time.monotonic()
        for item in batch:
            item.sent = True
        try:
            asked = [item.asked for item in batch]
            with tracing.batch(self._name, asked, call.last_deadline(asked)):
                outcomes = await self._send([item.value for item in batch])
            if len(outcomes) != len(batch):
                raise OutcomeUnknown(f"{len(batch)} outcomes were expected, {len(outcomes)} came")  # noqa: TRY301 - as if sent
        except Exception as error:  # noqa: BLE001 - every caller gets it
            for item in batch:
                _settle(item, error)
        except BaseException:
            for item in batch:
                _settle(item, OutcomeUnknown("this process is stopping"))
            raise
        else:
            for item, outcome in zip(batch, outcomes, strict=True):
                _settle(item, outcome)
        finally:
            # The next turn of the loop: those who have their outcome go on first.
            took, waited = time.monotonic() - sent_at, sent_at - min(item.since for item in batch)
            asyncio.get_running_loop().call_soon(self._count, len(batch), waited, took, context=Context())

    def _count(self, items: int, waited: float, took: float) -> None:
        self._sizes.observe(items)
        self._waits.observe(waited)
        self._took.observe(took)

    def _ended(self, turn: Turn | None, task: "asyncio.Task[None]") -> None:
        del self._under_way[task]
        self.go()
        if turn is not None:
            turn.end()

    def _look_at(self, moment: float) -> None:
        """Set the timer. One serves all items, since few are still there when their time ends."""
        if self._timer:
            self._timer.cancel()
        self._looks_at = moment
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, moment - time.monotonic()), self._expire, context=Context())

    def _expire(self) -> None:
        """Answer the items whose time is over, and set the timer for the next that ends."""
        self._timer = None
        self._looks_at = math.inf
        now = time.monotonic()
        next_end = math.inf
        for item in [*self._waiting, *(item for batch in self._under_way.values() for item in batch)]:
            if item.answer.done():
                continue
            ends_at = item.ends_at(self._limits.wait_seconds)
            if ends_at <= now:
                fault = OutcomeUnknown("no answer came in time") if item.sent else Unavailable(_TOO_LONG)
                _settle(item, fault)
            else:
                next_end = min(next_end, ends_at)
        if next_end < math.inf:
            self._look_at(next_end)


_TOO_LONG = "there is no time left for this request"


def _settle(item: _Item[I, O], outcome: O | BaseException) -> None:
    """Answer an item; one whose caller has gone has nobody to tell."""
    if item.answer.done():
        return
    if isinstance(outcome, BaseException):
        item.answer.set_exception(outcome)
    else:
        item.answer.set_result(outcome)
