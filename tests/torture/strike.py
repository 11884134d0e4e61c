"""Carries out a fault around one outgoing call, inside the process that makes the call."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tests.torture.orders import Injection
from tests.torture.points import STORE_OF, Fault, Kind

LATE_SECONDS = 0.7
"""When a call is executed whose caller has given up, and when it is executed again: after the first repetition."""

_later: set[asyncio.Task[None]] = set()


def kill(injection: Injection) -> None:
    """Kill this process."""
    injection.carried_out()
    os.kill(os.getpid(), signal.SIGKILL)


def pause(injection: Injection) -> None:
    """Stop this process. tests/torture/runner.py, whose child it is, lets it go on."""
    injection.carried_out()
    os.kill(os.getpid(), signal.SIGSTOP)


def kill_store(injection: Injection, kind: Kind, stores: dict[str, int]) -> None:
    """Kill the store that a call goes to. The platform's supervisor starts it again."""
    with suppress(ProcessLookupError):
        os.killpg(stores[STORE_OF[kind]], signal.SIGKILL)
        injection.carried_out()


def before(injection: Injection, kind: Kind, stores: dict[str, int]) -> None:
    """Do what happens before the call is sent."""
    if injection.fault is Fault.KILLED_BEFORE:
        kill(injection)
    elif injection.fault is Fault.PAUSED:
        pause(injection)
    elif injection.fault is Fault.STORE_KILLED:
        kill_store(injection, kind, stores)


async def around(
    injection: Injection, send: Callable[[], Awaitable[Any]], *, cut: Callable[[], Any], lost: Callable[[], Exception]
) -> Any:
    """Make the call with a fault. `cut` breaks the connection, and `lost` is what the client library then raises."""
    fault = injection.fault
    if fault is Fault.REFUSED:
        cut()
        injection.carried_out()
        raise lost()
    if fault is Fault.LATE:
        _repeat(injection, send)
        raise lost()
    try:
        reply = await send()
    finally:
        if fault is Fault.KILLED_AFTER:
            kill(injection)
    if fault is Fault.LOST:
        cut()
        injection.carried_out()
        raise lost()
    if fault is Fault.DUPLICATED:
        _repeat(injection, send)
    return reply


def _repeat(injection: Injection, send: Callable[[], Awaitable[Any]]) -> None:
    async def later() -> None:
        await asyncio.sleep(LATE_SECONDS)
        injection.carried_out()
        with suppress(Exception):  # nobody waits for the outcome any more
            await send()

    task = asyncio.get_running_loop().create_task(later())
    _later.add(task)
    task.add_done_callback(_later.discard)
