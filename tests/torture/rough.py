"""What is done to a platform that works for long: a fault a minute, or one kind of trouble all the time.

A trouble that is cancelled, because the user ends the run, puts right what it has done.
"""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from devstack.client import Stack
from devstack.home import Home
from devstack.stores import data_folder
from devstack.table import PARTS
from tests.torture.gauges import Gauges

FAULT_SECONDS = 60.0
LEAST_PAUSE, MOST_PAUSE = 5.0, 20.0
PAUSED_SECONDS = 12.0
"""Longer than every lease."""
FULL_SECONDS = 30.0
DISK_MEGABYTES = 400
LEFT_OVER = {"console"}
TAKER, TAKEN_AT_ONCE, TAKEN_ROUNDS = "torture", 20, 3
_END_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> $1"""

Trouble = Callable[..., Coroutine[Any, Any, None]]
"""Makes trouble until the time, on the monotonic clock, that it is given."""


async def a_fault_a_minute(stack: Stack, gauges: Gauges, draw: random.Random, ends_at: float) -> None:
    """Kill or pause one part after the other, in an order that chance decides."""
    names: list[str] = []
    while time.monotonic() + FAULT_SECONDS < ends_at:
        if not names:
            names = draw.sample(sorted(set(PARTS) - LEFT_OVER), len(PARTS) - len(LEFT_OVER))
        name = names.pop()
        if pauses := draw.random() < 0.3 and not PARTS[name].is_store:
            stack.kill(name, signal.SIGSTOP)
        else:
            stack.kill(name)
        gauges.mark(f"{name} {'paused' if pauses else 'killed'}")
        if pauses:
            try:
                await asyncio.sleep(PAUSED_SECONDS)
            finally:
                stack.kill(name, signal.SIGCONT)
        await asyncio.sleep(FAULT_SECONDS - (PAUSED_SECONDS if pauses else 0))


async def postgres_killed(stack: Stack, gauges: Gauges, draw: random.Random, ends_at: float) -> None:
    """Kill PostgreSQL every 5 to 20 s, all of its processes at once."""
    while time.monotonic() < ends_at:
        await asyncio.sleep(draw.uniform(LEAST_PAUSE, MOST_PAUSE))
        stack.kill("postgres")
        gauges.mark("postgres killed")


async def kafka_away(stack: Stack, gauges: Gauges, draw: random.Random, ends_at: float) -> None:
    """Stop Kafka, and start it at the end."""
    stack.stop("kafka")
    gauges.mark("kafka stopped")
    try:
        await asyncio.sleep(max(0.0, ends_at - time.monotonic()))
    finally:
        stack.start("kafka")
    await asyncio.to_thread(stack.wait_ready, "kafka")
    gauges.mark("kafka started")


async def disk_full(stack: Stack, gauges: Gauges, draw: random.Random, ends_at: float) -> None:
    """Fill the file system of PostgreSQL for half a minute, again and again."""
    balloon = data_folder("postgres", stack.home) / "balloon"
    while time.monotonic() + FULL_SECONDS < ends_at:
        fill = ["dd", "if=/dev/zero", f"of={balloon}", "bs=64k"]
        await asyncio.to_thread(subprocess.run, fill, check=False, capture_output=True)
        gauges.mark("disk full")
        try:
            await asyncio.sleep(FULL_SECONDS)
        finally:
            balloon.unlink()
        gauges.mark("disk free")
        await asyncio.sleep(FULL_SECONDS)


async def connections_reached(stack: Stack, gauges: Gauges, draw: random.Random, ends_at: float) -> None:
    """Take every connection that PostgreSQL has for half a minute, again and again, those of the services too."""
    url = stack.env()["POSTGRES_URL"]
    while time.monotonic() + FULL_SECONDS < ends_at:
        held: list[Any] = []
        await _take_all(url, held)
        for _ in range(TAKEN_ROUNDS):
            with suppress(asyncpg.PostgresError, OSError):
                await held[0].fetch(_END_OTHERS, TAKER)
            await _take_all(url, held)
        gauges.mark(f"{len(held)} connections taken")
        try:
            await asyncio.sleep(FULL_SECONDS)
        finally:
            for one in held:
                one.terminate()
        gauges.mark("connections given back")
        await asyncio.sleep(FULL_SECONDS)


async def _take_all(url: str, held: list[Any]) -> None:
    """Connect until PostgreSQL refuses."""

    async def take() -> bool:
        try:
            held.append(await asyncpg.connect(url, timeout=5, server_settings={"application_name": TAKER}))
        except (asyncpg.PostgresError, OSError, TimeoutError):
            return False
        return True

    while any(await asyncio.gather(*(take() for _ in range(TAKEN_AT_ONCE)))):
        pass


TROUBLES: dict[str, Trouble] = {
    "soak": a_fault_a_minute,
    "postgres": postgres_killed,
    "kafka": kafka_away,
    "disk": disk_full,
    "connections": connections_reached,
}


@contextmanager
def small_disk(home: Home) -> Iterator[None]:
    """Give PostgreSQL a file system of its own that can be filled: a tmpfs, which only root can mount."""
    if os.geteuid() != 0:
        raise SystemExit("a full disk needs a small file system, and mounting one needs root: run this as root")
    folder: Path = data_folder("postgres", home)
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "cartwright", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
