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


async def test_the_longest_lag_stays_in_sight(metrics, monkeypatch):
    """What held up the event loop for a moment is seen by who asks every 15 s, and later no more."""
    health = Health(metrics, Permissions(metrics, structlog.get_logger()))
    measuring = asyncio.create_task(health._measure_lag())
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - this is what is measured
    lag = lambda: metrics.registry.get_sample_value("checkout_operator_loop_lag_seconds")  # noqa: E731
    ends_at = time.monotonic() + 10
    while health._ticked_at < ends_at - 10 + 0.4:
        await asyncio.sleep(0.01)
        assert time.monotonic() < ends_at
    assert lag() >= 0.1
    measuring.cancel()
    for second in range(module.LAG_WINDOW + 1):
        health._record_lag(health._second_began + 1, 0.001)
        assert (lag() >= 0.1) is (second < module.LAG_WINDOW - 1)
