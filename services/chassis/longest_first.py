"""Sends the batches of several queues in turns, the longest queue first.

A purchase asks eight times, in seven queues of the checkout service. If every queue sends as soon as it can, those who arrive
one by one stay apart: each step finds a few and sends them. With one batch under way at a time, the others gather in front
of it. Those who rode together ask for their next step together, and take along who waits there: from step to step the batch
grows. Longest queue first is the rule of queueing theory that serves the most with each turn.
"""

import asyncio
from contextvars import Context
from typing import Protocol

HOLD_SECONDS = 0.05
"""How long a batch holds up the other queues at most. A service that hangs does not stop the steps that do without it."""
PATIENCE_SECONDS = 0.25
"""A queue that has waited for so long goes before longer ones, so that each gets its turn."""


class Queue(Protocol):
    """Items that wait to be sent together."""

    @property
    def ready(self) -> int:
        """How many items its next batch would have."""

    def go(self) -> None:
        """Enter again, and send a batch. A queue that has nothing to send does nothing."""


class LongestFirst:
    """Gives one queue at a time the turn to send a batch."""

    def __init__(self) -> None:
        self._turn: Turn | None = None
        self._waiting: dict[Queue, float] = {}
        """The queues that wait for a turn, and since when, on the event loop's clock."""

    def enter(self, queue: Queue) -> "Turn | None":
        """Return the turn of a queue. Returns None while another queue has it: `go` is called when it is over."""
        if self._turn is not None:
            self._waiting.setdefault(queue, asyncio.get_running_loop().time())
            return None
        self._turn = Turn(self)
        return self._turn

    def leave(self, turn: "Turn") -> None:
        """End a turn, and let the next queue go. Does nothing where the turn has ended before."""
        if self._turn is turn:
            self._turn = None
            while self._waiting and self._turn is None:
                queue = self._next()
                del self._waiting[queue]
                queue.go()

    def _next(self) -> Queue:
        """Return the queue that has waited too long, or else the longest."""
        first, since = next(iter(self._waiting.items()))  # they stand in the order in which they began to wait
        if asyncio.get_running_loop().time() - since > PATIENCE_SECONDS:
            return first
        return max(self._waiting, key=lambda queue: queue.ready)


class Turn:
    """The right to send one batch. It ends by itself after HOLD_SECONDS, so that nothing that goes wrong keeps it."""

    def __init__(self, turns: LongestFirst) -> None:
        self._turns = turns
        # A context of its own: a batch is nobody's, so what follows must not run with what one caller has set.
        self._timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, turns.leave, self, context=Context())

    def end(self) -> None:
        """Let the next queue go."""
        self._timer.cancel()
        self._turns.leave(self)
