"""Carries out a fault around one outgoing call, inside the process that makes the call."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tests.torture.points import STORE_OF, Fault, Kind

LATE_SECONDS = 0.7
"""When a call is executed whose caller has given up, and when it is executed again: after the first repetition."""

_later: set[asyncio.Task[None]] = set()


def kill() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def pause() -> None:
    """Stop this process. tests/torture/runner.py, whose child it is, lets it go on."""
    os.kill(os.getpid(), signal.SIGSTOP)


def kill_store(kind: Kind, stores: dict[str, int]) -> None:
    """Kill the store that a call goes to. The platform's supervisor starts it again."""
    with suppress(ProcessLookupError):
        os.killpg(stores[STORE_OF[kind]], signal.SIGKILL)


def before(fault: Fault, kind: Kind, stores: dict[str, int]) -> None:
    """Do what happens before the call is sent."""
    if fault is Fault.KILLED_BEFORE:
        kill()
    elif fault is Fault.PAUSED:
        pause()
    elif fault is Fault.STORE_KILLED:
        kill_store(kind, stores)


async def around(
    fault: Fault, send: Callable[[], Awaitable[Any]], *, cut: Callable[[], Any], lost: Callable[[], Exception]
) -> Any:
    """Make the call with a fault. `cut` breaks the connection, and `lost` is what the client library then raises."""
    if fault is Fault.REFUSED:
        cut()
        raise lost()
    if fault is Fault.LATE:
        _repeat(send)
        raise lost()
    try:
        reply = await send()
    finally:
        if fault is Fault.KILLED_AFTER:
            kill()
    if fault is Fault.LOST:
        cut()
        raise lost()
    if fault is Fault.DUPLICATED:
        _repeat(send)
    return reply


def _repeat(send: Callable[[], Awaitable[Any]]) -> None:
    async def later() -> None:
        await asyncio.sleep(LATE_SECONDS)
        with suppress(Exception):  # nobody waits for the outcome any more
            await send()

    task = asyncio.get_running_loop().create_task(later())
    _later.add(task)
    task.add_done_callback(_later.discard)
