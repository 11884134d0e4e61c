"""`make torture`: records the points of a purchase, strikes every fault at every point, and says what held.

It goes on where it was stopped: what was run is in `.cartwright/torture.journal`, until the code changes or FRESH=1.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from devstack.client import Stack, StackError
from devstack.home import ROOT
from tests.platforms import TORTURE, new_stack
from tests.torture import books
from tests.torture.campaign import Campaign
from tests.torture.customers import CASTS, SOLD_OUT, Violated
from tests.torture.gaps import unrecorded, unshown
from tests.torture.journal import Entry, Journal, Verdict
from tests.torture.orders import Desk
from tests.torture.plan import FOUND, NOBODY, Schedule, campaign, cast_of, combined, one_fault
from tests.torture.points import APPLICABLE, Fault, Point
from tests.torture.report import report
from tests.torture.shop import Shop
from tests.torture.verify import stock

JOURNAL = ROOT / ".cartwright" / "torture.journal"
EVERY = 50
"""How often the whole stock of a platform is checked, and a plain line is written, in schedules."""
ADD_SOLD_OUT = (
    f"INSERT INTO product.products VALUES ({SOLD_OUT}, 'Rare', 'Sold out', 100, 'USD', 'http://example.com/rare.jpg')",
    f"INSERT INTO inventory.stock (product_id, received, available) VALUES ({SOLD_OUT}, 0, 0)",
)
INTERRUPTED = 130
console = Console(highlight=False)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--schedules", type=int, help="how many in all; without it every single fault once")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument(
        "--jobs",
        type=int,
        choices=range(1, 9),
        default=1,
        metavar="1..8",
        help="how many platforms run them side by side",
    )
    parser.add_argument("--seed", type=int, default=1, help="the order of the single faults, and the combinations")
    parser.add_argument("--point", help="run one point alone, as a failure has printed it")
    parser.add_argument(
        "--fault", choices=list(Fault), help="the fault to strike there; without it every one that applies"
    )
    parser.add_argument("--pass", dest="number", type=int, default=1, help="at which pass of the point, from 1")
    parser.add_argument("--combination", type=int, help="run one combination alone, by its seed")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--report", action="store_true", help="print what was run so far, and run nothing")
    return parser.parse_args()


def chosen(given: argparse.Namespace, journal: Journal) -> list[Schedule]:
    """Return the schedules that the command line asks for, without those that were run."""
    recording = journal.recording
    if given.combination is not None:
        return [combined(recording, given.combination)]
    if given.point:
        point = Point.parse(given.point)
        cast = cast_of(recording).get(point)
        if cast is None:
            raise SystemExit(f"{point} was not recorded; the points are in {JOURNAL.relative_to(ROOT)}")
        faults = [Fault(given.fault)] if given.fault else APPLICABLE[point.kind]
        return [one_fault(point, fault, cast, given.number - 1) for fault in faults]
    planned = campaign(recording, seed=given.seed, schedules=given.schedules)
    return [one for one in planned if one.name not in journal.entries]


@dataclass(frozen=True, slots=True)
class Site:
    """A running platform, and the schedules that are run on it."""

    stack: Stack
    shop: Shop
    campaign: Campaign


class Torturer:
    """One run of the command."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self.journal = Journal(JOURNAL, fresh=given.fresh, only_read=given.report)
        self.stopping = asyncio.Event()
        self._run = 0
        self._broken: list[str] = []
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        )

    async def run(self, stacks: Sequence[Stack]) -> list[str]:
        """Record where nothing is recorded, run what is left on all platforms, and return what is broken for all of one."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.stopping.set)
        async with AsyncExitStack() as opened:
            sites = [await self._site(stack, opened) for stack in stacks]
            if not self.journal.recording:
                await self._record(sites[0].campaign)
            left = chosen(self._given, self.journal)
            self._total = len(left)
            self._started = time.monotonic()
            with self._progress if console.is_terminal else nullcontext():
                self._task = self._progress.add_task("schedules", total=len(left))
                schedules = iter(left)
                await asyncio.gather(*(self._strike(site, schedules) for site in sites))
            if not self.stopping.is_set():
                await asyncio.to_thread(self._judge, sites)
        if self._run:
            console.print(f"  {self._pace():.0f} ms a schedule, with the end of all")
        console.print(f"  {max(0, len(left) - self._run)} schedules left")
        return self._broken

    async def _site(self, stack: Stack, opened: AsyncExitStack) -> Site:
        shop = await opened.enter_async_context(Shop(stack.env(), stack.home.kubeconfig))
        for sql in ADD_SOLD_OUT:
            await shop.ask(sql)
        return Site(stack, shop, Campaign(shop, stack, Desk(stack.home.path / "desk"), self._ended))

    async def _record(self, campaign: Campaign) -> None:
        for cast in (NOBODY, *CASTS):
            points = await campaign.record(cast)
            self.journal.record(cast, points)
            console.print(f"  recorded: a customer who {cast} passes {len(points)} points")
        if missing := unrecorded(self.journal.recording):
            raise Violated("; ".join(missing))

    async def _strike(self, site: Site, schedules: Iterator[Schedule]) -> None:
        """Run schedules on a platform until none is left, the time is up, or the user stops it."""
        ends_at = self._started + self._given.minutes * 60 if self._given.minutes else float("inf")
        for number, schedule in enumerate(schedules, 1):
            if time.monotonic() > ends_at or not await self._unless_stopped(site.campaign.run(schedule)):
                break
            if number % EVERY == 0:
                await self._look(site)
        if await self._unless_stopped(site.campaign.drain()):
            await self._look(site)
        else:
            await site.campaign.abandon()

    async def _look(self, site: Site) -> None:
        """Check the stock of a platform, and note the points that only faults lead to."""
        self._broken += await stock(site.shop)
        self.journal.record(FOUND, site.campaign.found(cast_of(self.journal.recording)))

    def _judge(self, sites: Sequence[Site]) -> None:
        """Hold the books of each platform against each other at rest, and print the sums."""
        figures: Counter[str] = Counter()
        for site in sites:
            try:
                books.settle(site.stack.env()["POSTGRES_URL"])
                figures.update(books.judge(site.stack.env(), site.campaign.answers))
            except AssertionError as error:
                self._broken.append(str(error))
        for name, value in figures.items():
            console.print(f"  {name:<24} {value:>6}")

    def _pace(self) -> float:
        """Return the milliseconds that a schedule has taken so far."""
        return (time.monotonic() - self._started) * 1000 / self._run

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do some work, unless told to stop before it is done. Return whether it is done."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self.stopping.wait())
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not working.done():
            working.cancel()
            return False
        working.result()
        return True

    def _ended(self, entry: Entry) -> None:
        self._run += 1
        self.journal.add(entry)
        if console.is_terminal:
            self._progress.advance(self._task)
        elif self._run % EVERY == 0:
            console.print(f"  {self._run} of {self._total} schedules, {self._pace():.0f} ms each")
        if entry.verdict is Verdict.VIOLATED:
            console.print(
                f"[red]VIOLATED[/] {entry.name}: {entry.why}\n  again: {entry.again}", markup=True, soft_wrap=True
            )


def main() -> int:
    """Run it, and return the exit code."""
    given = arguments()
    torturer = Torturer(given)
    if given.report:
        report(torturer.journal, console)
        return 0
    if torturer.journal.began_anew:
        console.print("the code has changed since the last run, so it begins anew")
    elif torturer.journal.entries:
        console.print(f"goes on: {len(torturer.journal.entries)} schedules were run before")
    broken: list[str] = []
    env = {"BANK_SUCCESS_RATE": "1", "LOG_LEVEL": "warning", "COMPARE_EVERY": "5"}
    try:
        with ExitStack() as running:
            names = ["torture", *(f"torture-{number}" for number in range(2, given.jobs + 1))]
            stacks = [running.enter_context(new_stack(name, env=env, wrapper=TORTURE)) for name in names]
            broken = asyncio.run(torturer.run(stacks))
    except (Violated, StackError) as error:
        broken = [str(error)]
    except KeyboardInterrupt:  # while the platform starts or ends
        torturer.stopping.set()
    report(torturer.journal, console)
    for what in broken:
        console.print(f"[red]VIOLATED[/] {what}")
    if torturer.stopping.is_set():
        console.print(f"stopped; go on with: make torture{_same(given)}")
        return INTERRUPTED
    entries = torturer.journal.entries.values()
    missed = [] if given.point or given.combination is not None else unshown(entries)
    for what in missed:
        console.print(f"[red]NOT SHOWN[/] {what}")
    failed = [entry for entry in entries if entry.verdict is Verdict.VIOLATED]
    return 1 if failed or broken or missed else 0


def _same(given: argparse.Namespace) -> str:
    wanted = {name: getattr(given, name) for name in ("schedules", "minutes", "seed", "jobs")}
    return "".join(f" {name.upper()}={value:g}" for name, value in wanted.items() if value is not None)


if __name__ == "__main__":
    sys.exit(main())
