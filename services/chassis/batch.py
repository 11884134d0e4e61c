"""Riding together: calls that are made while another is under way go out in one call, as group commit does.

A lone call goes out at once; under load a batch grows by itself, so there is no timer and no added delay. An item joins
only a batch that has not been sent: what it reads was committed no earlier than it asked.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.chassis import call
from services.chassis.telemetry import Metrics
from services.errors import OutcomeUnknown, Unavailable

I = TypeVar("I")  # noqa: E741 - an item
O = TypeVar("O")  # noqa: E741 - an outcome


@dataclass(frozen=True, slots=True)
class Limits:
    """How many items a batch holds, how many may wait, and how many batches may be under way."""

    batch: int = 64
    waiting: int = 1024
    under_way: int = 1


@dataclass(eq=False, slots=True)
class _Item(Generic[I, O]):
    value: I
    key: Hashable
    asked: call.Call
    answer: "asyncio.Future[O]"
    since: float = field(default_factory=time.monotonic)
    sent: bool = False


class Batcher(Generic[I, O]):
    """Gathers the items of concurrent callers, and sends them in batches.

    `send` gets items and gives an outcome or an error for each, in their order; an error that it raises is every item's. Two
    items of one key are never under way at once, and go out in the order in which they came.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[I]], Awaitable[Sequence[O | Exception]]],
        metrics: Metrics,
        *,
        limits: Limits = Limits(),
        key: Callable[[I], Hashable] | None = None,
    ) -> None:
        """Take a name for the metrics, what sends a batch, and what of an item is its key; without `key` it has none."""
        self._send = send
        self._limits = limits
        self._key = key
        self._waiting: deque[_Item[I, O]] = deque()
        self._busy: set[Hashable] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False
        self._sizes = metrics.batch_items.labels(name)
        self._waits = metrics.batch_waits.labels(name)
        self._shed = metrics.batch_shed.labels(name)

    async def ask(self, value: I) -> O:
        """Send an item with the next batch, and give its outcome or raise its fault.

        Unavailable: it was not sent, because too many wait or the request's time is over. OutcomeUnknown: it was sent, and
        the time was over before an answer came. A caller that is cancelled withdraws an item that has not been sent.
        """
        if self._closed:
            raise Unavailable("this process is stopping")
        if len(self._waiting) >= self._limits.waiting:
            self._shed.inc()
            raise Unavailable("too many requests wait; try again")
        item = _Item[I, O](
            value, self._key(value) if self._key else None, call.current(), asyncio.get_running_loop().create_future()
        )
        self._waiting.append(item)
        self._schedule()
        try:
            async with asyncio.timeout(item.asked.remaining()):
                return await item.answer
        except TimeoutError:
            if item.sent:
                raise OutcomeUnknown("no answer came in time") from None
            raise Unavailable("there is no time left for this request") from None
        finally:
            if not item.sent and item in self._waiting:
                self._waiting.remove(item)

    async def close(self) -> None:
        """Take no more items, and wait until those that are there are answered."""
        self._closed = True
        while self._tasks or self._waiting:
            if self._tasks:
                await asyncio.wait(self._tasks)
            else:
                await asyncio.sleep(0)

    def _schedule(self) -> None:
        """Look at what waits once those that are asked for in this turn of the loop are there too."""
        if not self._scheduled and self._waiting and len(self._tasks) < self._limits.under_way:
            self._scheduled = True
            # A context of its own: a batch is nobody's, so it must not run with what the first caller has set.
            asyncio.get_running_loop().call_soon(self._start, context=Context())

    def _start(self) -> None:
        self._scheduled = False
        if batch := self._next():
            task = asyncio.get_running_loop().create_task(self._carry(batch))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            self._schedule()

    def _next(self) -> list[_Item[I, O]]:
        """Take the items of the next batch: as they came, one of a key."""
        batch: list[_Item[I, O]] = []
        left: deque[_Item[I, O]] = deque()
        while self._waiting and len(batch) < self._limits.batch:
            item = self._waiting.popleft()
            if item.answer.done():  # withdrawn, its caller has not run yet
                continue
            if item.key is not None and item.key in self._busy:
                left.append(item)
                continue
            if item.key is not None:
                self._busy.add(item.key)
            batch.append(item)
        left.extend(self._waiting)
        self._waiting = left
        return batch

    async def _carry(self, batch: Sequence[_Item[I, O]]) -> None:
        try:
            if going := [item for item in batch if not item.answer.done()]:  # some may just have been withdrawn
                await self._deliver(going)
        finally:
            self._busy.difference_update(item.key for item in batch)

    async def _deliver(self, batch: Sequence[_Item[I, O]]) -> None:
        now = time.monotonic()
        self._sizes.observe(len(batch))
        for item in batch:
            item.sent = True
            self._waits.observe(now - item.since)
        try:
            with call.within(_longest([item.asked for item in batch])):
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

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._schedule()


def _settle(item: _Item[I, O], outcome: O | BaseException) -> None:
    """Answer an item; one whose caller has gone has nobody to tell."""
    if item.answer.done():
        return
    if isinstance(outcome, BaseException):
        item.answer.set_exception(outcome)
    else:
        item.answer.set_result(outcome)


def _longest(asked: Sequence[call.Call]) -> call.Call:
    """Give the call of a batch: the first one's ids, and the longest time that any item has."""
    first = asked[0]
    deadlines = [one.deadline for one in asked if one.deadline is not None]
    deadline = max(deadlines) if len(deadlines) == len(asked) else None
    return call.Call(first.request_id, first.traceparent, deadline)
