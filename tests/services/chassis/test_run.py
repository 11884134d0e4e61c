"""How a process comes up beside others that may not be there yet."""

import asyncio

import pytest
from aiohttp import web as aiohttp_web

from services.chassis import run
from services.chassis.env import Settings
from services.chassis.run import Runtime

SETTINGS = {"LISTEN_HOST": "127.0.0.1", "DRAIN_DELAY": "0s", "DRAIN_TIMEOUT": "1s"}


class Dependency:
    """A part that is there, or not."""

    def __init__(self):
        self.there, self.asked = asyncio.Event(), asyncio.Event()

    async def check(self):
        self.asked.set()
        return "ok" if self.there.is_set() else "does not answer"


@pytest.fixture
def dependency():
    return Dependency()


@pytest.fixture(params=["grpc", "http"])
async def process(request, dependency):
    """A process that comes up, and its runtime."""
    runtime = Runtime("test", "serve", {})
    settings, checks = Settings.from_env(SETTINGS), {"store": dependency.check}
    serving = {
        "grpc": lambda: runtime.serve(settings, {}, checks),
        "http": lambda: runtime.serve_http(settings, aiohttp_web.Application(), checks),
    }
    task = asyncio.create_task(serving[request.param]())
    yield runtime
    runtime.stopping.set()
    await task


async def until(runtime, state):
    """Wait for a state; the test's own deadline bounds it."""
    while runtime.readiness.state != state:  # noqa: ASYNC110 - a page's state, which tells nobody of its changes
        await asyncio.sleep(0.01)


async def test_it_serves_once_its_dependencies_are_there(process, dependency):
    """It is not ready while a dependency is away, and is as soon as that is there."""
    await dependency.asked.wait()
    assert process.readiness.state == "starting"
    dependency.there.set()
    await until(process, "serving")


@pytest.fixture
def impatient(monkeypatch):
    """Have it wait for a moment only."""
    monkeypatch.setattr(run, "WARM_SECONDS", 0.1)


async def test_it_serves_without_what_stays_away(impatient, process, dependency):
    """A dependency that stays away keeps it from nothing: it serves after a while."""
    await until(process, "serving")
    assert not dependency.there.is_set()


async def test_told_to_end_it_does_not_wait(process, dependency):
    """Told to end while it waits, it ends."""
    await dependency.asked.wait()
    process.stopping.set()
    await until(process, "draining")
