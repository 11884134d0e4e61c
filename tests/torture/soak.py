"""`make soak` and `make rough`: purchases at half of what the platform can do, trouble meanwhile, and the books held against each other.

What must be flat afterwards is sampled all the time: it is printed as a table, and drawn in `.cartwright/soak-<trouble>.svg`.
"""

import argparse
import asyncio
import itertools
import random
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from devstack.client import Stack
from devstack.home import ROOT, Home
from tests.platforms import new_stack
from tests.torture import books
from tests.torture.customers import Customer, Violated
from tests.torture.gauges import Gauges
from tests.torture.rough import TROUBLES, small_disk
from tests.torture.shop import Shop
from tests.torture.verify import check, stock
from tests.torture.versions import TREES, Rollout, old_tree, two_versions

CAPACITY_SECONDS, CAPACITY_BUYERS = 20.0, 16
SAMPLE_SECONDS = 10.0
QUIET_SECONDS = 60.0
CHECKED_AT_ONCE = 100
CASTS = ("buys",) * 8 + ("is declined", "applies")
VERSIONS = "versions"
console = Console(highlight=False)


class Load:
    """Purchases: as many as can be, or at a rate."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._users = itertools.count(secrets.randbelow(10**9) + 4 * 10**9)
        self._casts = itertools.cycle(CASTS)
        self._under_way: set[asyncio.Task[None]] = set()
        self.done: list[Customer] = []
        self.violations: list[str] = []
        self.seconds: list[float] = []

    async def one(self) -> None:
        """Make one purchase."""
        customer, began = Customer(next(self._users), next(self._casts)), time.monotonic()
        try:
            await customer.run(self._shop)
        except Violated as error:
            self.violations.append(str(error))
        except Exception as error:  # noqa: BLE001 - a customer who fails in another way is no proof of anything
            self.violations.append(f"unexpected: {error!r}")
        self.seconds.append(time.monotonic() - began)
        self.done.append(customer)

    async def capacity(self) -> float:
        """Return how many purchases a second a few buyers make who do not wait."""
        ends_at = time.monotonic() + CAPACITY_SECONDS

        async def buy() -> None:
            while time.monotonic() < ends_at:
                await self.one()

        await asyncio.gather(*(buy() for _ in range(CAPACITY_BUYERS)))
        return len(self.done) / CAPACITY_SECONDS

    async def at(self, rate: float, stopping: asyncio.Event) -> None:
        """Make purchases at a rate, whatever has become of those before, until told to stop; then wait for them."""
        next_at = time.monotonic()
        while not stopping.is_set():
            task = asyncio.create_task(self.one())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            next_at += 1 / rate
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
        while self._under_way:
            await asyncio.wait(self._under_way)


async def soak(stack: Stack, name: str, trouble: Callable[..., Coroutine[Any, Any, None]], minutes: float) -> list[str]:
    """Run it, print the figures, and return what is broken."""
    async with Shop(stack.env(), stack.home.kubeconfig) as shop:
        load, gauges, stopping = Load(shop), Gauges(stack, shop), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        rate = await load.capacity() / 2
        console.print(f"{name}: {rate:.1f} purchases a second, half of what the platform can do, for {minutes:g} min")
        load.seconds.clear()
        buying = asyncio.create_task(load.at(rate, stopping))
        sampling = asyncio.create_task(_sample(gauges))
        ends_at = time.monotonic() + minutes * 60
        troubling = asyncio.create_task(trouble(gauges=gauges, ends_at=ends_at))
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({troubling, stopped, sampling}, return_when=asyncio.FIRST_COMPLETED)
        if troubling.done():
            troubling.result()
            seconds = max(0.0, ends_at - time.monotonic())
            await asyncio.wait({stopped, sampling}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if sampling.done():  # it has failed: what must stay flat is not seen any more
            sampling.result()
        troubling.cancel()
        stopping.set()
        healed = time.monotonic()
        await asyncio.to_thread(stack.wait_ready)
        await buying
        broken = load.violations + await _verify(shop, load, stack)
        console.print(f"at rest, and checked, {time.monotonic() - healed:.0f} s after the end of the load")
        await asyncio.sleep(max(0.0, min(QUIET_SECONDS, minutes * 6)))
        sampling.cancel()
        _tell(load, gauges, name)
        return broken


async def _sample(gauges: Gauges) -> None:
    while True:
        await gauges.sample()
        await asyncio.sleep(SAMPLE_SECONDS)


async def _verify(shop: Shop, load: Load, stack: Stack) -> list[str]:
    broken = await stock(shop)
    for first in range(0, len(load.done), CHECKED_AT_ONCE):
        try:
            await check(shop, [one for one in load.done[first : first + CHECKED_AT_ONCE] if one.checkout_id])
        except Violated as error:
            broken.append(str(error))
    answers = {one.checkout_id: one.status for one in load.done if one.checkout_id}
    try:
        await asyncio.to_thread(books.settle, stack.env()["POSTGRES_URL"])
        for name, value in (await asyncio.to_thread(books.judge, stack.env(), answers)).items():
            console.print(f"  {name:<24} {value:>8}")
    except AssertionError as error:
        broken.append(str(error))
    return broken


def _tell(load: Load, gauges: Gauges, trouble: str) -> None:
    seen = Counter[str]()
    for one in load.done:
        seen += one.seen
    took = sorted(load.seconds)
    table = Table(title=f"{len(load.done)} purchases, {len(gauges.marks)} times trouble; answers {dict(seen)}")
    for column in ("", "at first", "at the end", "most", "an hour"):
        table.add_column(column, justify="left" if not column else "right")
    for name, first, last, most, slope in sorted(gauges.rows()):
        table.add_row(name, f"{first:.1f}", f"{last:.1f}", f"{most:.1f}", f"{slope:+.1f}")
    console.print(table)
    if took:
        console.print(f"a purchase: median {took[len(took) // 2]:.2f} s, the slowest {took[-1]:.1f} s")
    plot = ROOT / ".cartwright" / f"soak-{trouble}.svg"
    gauges.draw(plot)
    console.print(f"drawn in {plot.relative_to(ROOT)}")


def _run(given: argparse.Namespace) -> list[str]:
    env = {"BANK_SUCCESS_RATE": "1", "LOG_LEVEL": "warning"}
    home = Home(ROOT / ".cartwright" / "soak")
    if given.trouble == VERSIONS:
        rollout = Rollout(home, old_tree(given.old))
        with new_stack("soak", env=env | {TREES: str(rollout.path)}, wrapper="tests.torture.versions") as stack:
            return asyncio.run(soak(stack, VERSIONS, partial(two_versions, stack, rollout=rollout), given.minutes))
    disk = small_disk(home) if given.trouble == "disk" else nullcontext()
    with disk, new_stack("soak", env=env) as stack:
        trouble = partial(TROUBLES[given.trouble], stack, draw=random.Random(given.seed))
        return asyncio.run(soak(stack, given.trouble, trouble, given.minutes))


def main() -> int:
    """Run it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--trouble", choices=[*TROUBLES, VERSIONS], default="soak")
    parser.add_argument("--old", default="", help="the commit of the other version; by default the last tag")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    broken = _run(parser.parse_args())
    for what in broken:
        console.print(f"[red]VIOLATED[/] {what}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
