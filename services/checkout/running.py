"""The checkouts that this process drives, or has just driven to their end.

Who asks again for one of them, as the gateway does while a checkout takes long, is answered from here, without the database. What
has ended never changes, so it may be answered from memory.
"""

import asyncio
from collections.abc import Sequence

from services.checkout.domain import Origin, Session, Status

KEPT_SECONDS = 5.0
"""How long the end of a checkout is kept for those who wait for it: as long as a request may take."""


class Running:
    """Knows the tasks that drive checkouts, by checkout id, and the checkouts of shoppers, by user and key."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Session | None]] = {}
        self._sessions: dict[tuple[int, str], Session] = {}

    def __len__(self) -> int:
        """Return how many checkouts this process drives."""
        return len(self._tasks)

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the checkouts that this process drives."""
        return list(self._tasks)

    def add(self, session: Session, task: "asyncio.Task[Session | None]") -> None:
        """Keep a checkout while `task` drives it. The task returns its end, or None if it was stopped before that."""
        self._tasks[session.id] = task
        if session.origin is Origin.REST:
            self._sessions[session.user_id, session.key] = session
        task.add_done_callback(lambda _: self._done(session, task))

    def task(self, checkout_id: str) -> "asyncio.Task[Session | None] | None":
        """Return the task that drives a checkout; None when this process does not drive it."""
        return self._tasks.get(checkout_id)

    def find(self, user_id: int, key: str) -> Session | None:
        """Return the shopper's checkout of a key: as it was when this process began to drive it, or as it has just ended."""
        return self._sessions.get((user_id, key))

    async def drain(self) -> None:
        """Wait until this process drives nothing."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _done(self, session: Session, task: "asyncio.Task[Session | None]") -> None:
        self._tasks.pop(session.id, None)
        if session.origin is not Origin.REST:
            return
        key = (session.user_id, session.key)
        ended = None if task.cancelled() or task.exception() else task.result()
        if ended is None or ended.status is Status.PROCESSING:
            self._sessions.pop(key, None)
            return
        self._sessions[key] = ended
        task.get_loop().call_later(KEPT_SECONDS, self._sessions.pop, key, None)
