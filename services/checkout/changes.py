"""Following every checkout. Several replicas and the recovery worker write them, so the database is polled.

A row's `changed_at` is set when its statement runs, and is seen when it commits. Each query therefore looks back further
than a statement and its commit can last, and what was sent before is left out by its version.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from services.checkout.domain import Session
from services.errors import Transient

LOOK_EVERY_SECONDS = 0.2
BATCH = 100


class Changed(Protocol):
    """The rows of checkouts, as a follower needs them."""

    async def changed_since(self, cursor: datetime | None) -> Sequence[tuple[str, int, datetime]]:
        """Return (id, version, changed at) from a little before `cursor` on; without one, from a little before now on."""

    async def load_many(self, checkout_ids: Sequence[str]) -> Sequence[Session]:
        """Return those checkouts that exist."""


async def follow(
    sessions: Changed, stopping: asyncio.Event, wait: Callable[[asyncio.Event, float], Awaitable[None]]
) -> AsyncIterator[Sequence[Session]]:
    """Yield what changed, in batches, until `stopping`; while the database is unavailable it yields nothing."""
    sent: dict[str, int] = {}  # the version of each checkout that was sent last
    cursor: datetime | None = None
    while not stopping.is_set():
        try:
            seen = await sessions.changed_since(cursor)
            new = [checkout_id for checkout_id, version, _ in seen if sent.get(checkout_id) != version]
            for start in range(0, len(new), BATCH):
                yield await sessions.load_many(new[start : start + BATCH])
        except Transient:
            await wait(stopping, LOOK_EVERY_SECONDS)
            continue
        sent = {checkout_id: version for checkout_id, version, _ in seen}
        cursor = max((changed_at for _, _, changed_at in seen), default=cursor)
        await wait(stopping, LOOK_EVERY_SECONDS)
