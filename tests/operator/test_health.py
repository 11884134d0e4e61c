"""The health page says whether the event loop runs, from the first moment on."""

import asyncio
import time

import aiohttp
import structlog

from checkout_operator import health as module
from checkout_operator.health import Health
from checkout_operator.permissions import Permissions


async def test_it_is_healthy_while_it_still_begins(metrics, monkeypatch):
    """An operator that waits for the API server before it watches anything is healthy, however long that takes."""
    monkeypatch.setattr(module, "LAG_SECONDS", 0.5)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.05)
    health = Health(metrics, Permissions(metrics, structlog.get_logger()))
    runner = await health.serve("127.0.0.1", 0)
    began, seen = time.monotonic(), set()
    async with aiohttp.ClientSession() as client, asyncio.timeout(10):
        while health._ticked_at < began + 2 * module.LAG_SECONDS and seen <= {200}:
            async with client.get(f"http://127.0.0.1:{runner.addresses[0][1]}/health") as answer:
                seen.add(answer.status)
    await runner.cleanup()
    assert seen == {200}
