"""A fixed choice of what `make torture` does: faults at recorded points of a purchase, with shoppers who never give up."""

import asyncio

import pytest

from tests.torture.campaign import Campaign
from tests.torture.customers import CASTS, SOLD_OUT_CAST
from tests.torture.journal import Verdict
from tests.torture.orders import Desk
from tests.torture.plan import HANGS, NOBODY, sample
from tests.torture.shop import Shop
from tests.torture.verify import stock

pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(300)]
SCHEDULES = 40
LEFT_OUT = {SOLD_OUT_CAST, HANGS}
"""The first needs a product of its own, the second takes seconds."""


def test_forty_faults(platform) -> None:
    """A process killed, paused, cut off or doubled at forty points of a purchase: nothing is bought twice, no stock and nothing else is lost.

    Among them are the driver of a saga that is killed while it pays, and a charge whose reply is lost.
    """
    stack, entries = platform.stack, []

    async def torture():
        async with Shop(platform.urls, stack.home.kubeconfig) as shop:
            campaign = Campaign(shop, stack, Desk(stack.home.path / "desk"), entries.append)
            recording = {cast: await campaign.record(cast) for cast in (NOBODY, *CASTS) if cast not in LEFT_OUT}
            for schedule in sample(recording, SCHEDULES):
                await campaign.run(schedule)
            await campaign.drain()
            return await stock(shop)

    assert asyncio.run(torture()) == []
    assert not [entry for entry in entries if entry.verdict is Verdict.VIOLATED]
    assert sum(entry.verdict is Verdict.HELD for entry in entries) > SCHEDULES * 0.8
