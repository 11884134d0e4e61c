"""Following every checkout, whoever writes it: several replicas and the recovery worker do, so the database is asked.

A row's `changed_at` is set when its statement runs and seen when it commits, so a look goes back further than any
statement and its commit may take, and what was told before is left out by its version.
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
        """Give (id, version, changed at) from a little before `cursor` on, or before now."""

    async def load_many(self, checkout_ids: Sequence[str]) -> Sequence[Session]:
        """Give those checkouts that exist."""


async def follow(
    sessions: Changed, stopping: asyncio.Event, wait: Callable[[asyncio.Event, float], Awaitable[None]]
) -> AsyncIterator[Sequence[Session]]:
    """Give what changed, in batches, until `stopping`; while the database is away there is nothing to give."""
    told: dict[str, int] = {}
    cursor: datetime | None = None
    while not stopping.is_set():
        try:
            seen = await sessions.changed_since(cursor)
            new = [checkout_id for checkout_id, version, _ in seen if told.get(checkout_id) != version]
            for start in range(0, len(new), BATCH):
                yield await sessions.load_many(new[start : start + BATCH])
        except Transient:
            await wait(stopping, LOOK_EVERY_SECONDS)
            continue
        told = {checkout_id: version for checkout_id, version, _ in seen}
        cursor = max((changed_at for _, _, changed_at in seen), default=cursor)
        await wait(stopping, LOOK_EVERY_SECONDS)
