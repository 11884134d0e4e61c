"""The loads of the operator: a rate that it must hold, many live resources, and what waits after it was away."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil
import requests

from tests.bench.cpu import cpu_seconds, memory_mib
from tests.bench.figures import summary
from tests.bench.measure import Failed
from tests.bench.operator_load import timeline
from tests.bench.operator_load.applying import Applier
from tests.bench.operator_load.watching import Watcher, following
from tests.bench.results import Results
from tests.kube import Kube
from tests.platforms import OnThisMachine

SUSTAINED_TTL, LIVE_TTL = 60, 3600
AWAY_SECONDS, AWAY_RATE = 60.0, 50.0
END_SECONDS = 300.0
"""How long the last resources of a load may take."""
LAG_SECONDS = 15.0
"""For how long the operator's metric shows the longest lag of its event loop."""
COMPARISONS_SECONDS = 35.0
"""Two full comparisons and a sweep each second fall into this time."""
TELL_SECONDS = 15.0
LAG, RESOURCES = "checkout_operator_loop_lag_seconds", "checkout_operator_resources"
LOST = "lost or not completed"
SHARES = ("apiserver", "etcd", "operator", "checkout", "postgres")
_ROWS = """SELECT idempotency_key AS name, status, extract(epoch FROM created_at)::float AS began,
    extract(epoch FROM completed_at)::float AS ended FROM checkout.checkout_sessions
    WHERE origin = 'resource' AND starts_with(idempotency_key, $1)"""


@dataclass(frozen=True, slots=True)
class Bed:
    """What every load runs on."""

    platform: OnThisMachine
    kube: Kube
    results: Results
    say: Callable[[str], None]
    """Tells a person how far it is."""

    def note(self, load: str, name: str, unit: str, value: float) -> None:
        """Note a figure."""
        self.results.note(load, name, unit, value)

    def pids(self) -> Mapping[str, int]:
        """Give the process of each part that runs."""
        return {row["name"]: row["pid"] for row in self.platform.stack.rows() if row["pid"]}

    async def rows(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Give the saga's row of each resource whose name begins so, by name."""
        found = await asyncio.to_thread(self.platform.sql, _ROWS, prefix)
        return {row["name"]: row for row in found}

    def operator_mib(self) -> float:
        """Give the memory of the operator."""
        return memory_mib({"operator": self.pids()["operator"]})["operator"]

    def metric(self, name: str) -> float:
        """Give a metric of the operator's, the sum of its samples."""
        ports = [
            one.laddr.port
            for one in psutil.Process(self.pids()["operator"]).net_connections()
            if one.status == "LISTEN"
        ]
        page = requests.get(f"http://127.0.0.1:{ports[0]}/metrics", timeout=10).text
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{")))


@asynccontextmanager
async def watched(bed: Bed) -> AsyncIterator[tuple[Applier, Watcher]]:
    """Give what applies resources and what sees them end."""
    async with following(bed.kube) as watcher, Applier(bed.kube) as applier:
        telling = asyncio.create_task(_tell(bed, applier, watcher))
        try:
            yield applier, watcher
        finally:
            telling.cancel()


async def _tell(bed: Bed, applier: Applier, watcher: Watcher) -> None:
    """Say how far the load is, as long as it goes on."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(TELL_SECONDS)
        ended = len(applier.applied.keys() & watcher.ended.keys())
        bed.say(f"  {time.monotonic() - began:.0f} s: {len(applier.applied):,} applied, {ended:,} seen to end")


async def warm_up(bed: Bed, count: int) -> None:
    """Have so many resources come and go, so that nothing is measured that happens once."""
    async with watched(bed) as (applier, watcher):
        await applier.at_once(count, ttl=0)
        await watcher.until_ended(set(applier.applied), END_SECONDS)
    await gone(bed, END_SECONDS)


async def sustained(bed: Bed, rate: float, seconds: float) -> None:
    """Apply at a rate; note what was reached, how late things were seen, and what each cost."""
    async with watched(bed) as (applier, watcher):
        before, writes, foreign, began = (
            cpu_seconds(bed.pids()),
            bed.kube.writes(),
            bed.kube.patches(),
            time.monotonic(),
        )
        late = await applier.at_rate(rate, seconds, ttl=SUSTAINED_TTL)
        names = set(applier.applied)
        await watcher.until_ended(names, END_SECONDS)
        took, after = time.monotonic() - began, cpu_seconds(bed.pids())
        bed.note("sustained", "asked for", "resources/s", rate)
        bed.note("sustained", "applied", "resources/s", len(names) / (seconds + late))
        bed.note("sustained", "to the end of the last one", "resources/s", len(names) / took)
        rows = await bed.rows(applier.prefix)
        completed = {name for name in names & rows.keys() if watcher.phases.get(name) == "Completed"}
        bed.note("sustained", LOST, "resources", len(names) - len(completed))
        starts = summary([rows[name]["began"] - applier.applied[name] for name in completed])
        seen = summary([watcher.ended[name] - rows[name]["ended"] for name in completed])
        bed.note("sustained", "apply → row of the saga, p50", "s", starts["p50"])
        bed.note("sustained", "apply → row of the saga, p99", "s", starts["p99"])
        bed.note("sustained", "commit → status seen, p50", "s", seen["p50"])
        bed.note("sustained", "commit → status seen, p99", "s", seen["p99"])
        for part in SHARES:
            bed.note("sustained", f"cpu {part}", "ms a resource", (after[part] - before[part]) * 1000 / len(names))
        bed.note("sustained", "operator, while it runs", "MiB", bed.operator_mib())
        ended = {name: rows[name]["ended"] for name in completed}
        first = min(applier.applied.values())
        bed.results.lines += [
            timeline.rate("sustained", "applied", list(applier.applied.values()), first),
            timeline.rate("sustained", "saga has ended", list(ended.values()), first),
            timeline.rate("sustained", "status seen", [watcher.ended[name] for name in completed], first),
            timeline.lateness(
                "sustained",
                "apply → row, p99",
                {name: rows[name]["began"] for name in completed},
                applier.applied,
                first,
            ),
            timeline.lateness("sustained", "commit → status seen, p99", watcher.ended, ended, first),
        ]
        await gone(bed, END_SECONDS)
        bed.note(
            "sustained",
            "API writes, creation and deletion included",
            "a resource",
            (bed.kube.writes() - writes) / len(names),
        )
        bed.note("sustained", "patches by kopf", "in all", bed.kube.patches() - foreign)


async def live(bed: Bed, count: int) -> None:
    """Have so many live resources; note the operator's memory and how late its event loop runs while it compares them."""
    async with watched(bed) as (applier, watcher):
        await applier.at_once(count, ttl=LIVE_TTL)
        if not await watcher.until_ended(set(applier.applied), END_SECONDS + count / 20):
            bed.note("live", f"{count:,}: not ended in time", "resources", count - len(watcher.ended))
    await asyncio.sleep(LAG_SECONDS)  # until then the metric shows the load too
    bed.note("live", f"{count:,}: event loop late by at most", "ms", await _latest(bed, COMPARISONS_SECONDS) * 1000)
    bed.note("live", f"{count:,}: operator", "MiB", bed.operator_mib())
    await restart(bed, count)
    bed.kube.delete_all()
    await gone(bed, END_SECONDS)


async def _latest(bed: Bed, seconds: float) -> float:
    """Give by how many seconds the operator's event loop is late at most, within so many seconds."""
    latest, ends_at = bed.metric(LAG), time.monotonic() + seconds
    while time.monotonic() < ends_at:
        await asyncio.sleep(min(seconds, LAG_SECONDS / 3))
        latest = max(latest, bed.metric(LAG))
    return latest


async def restart(bed: Bed, count: int) -> None:
    """Start the operator anew over so many live resources; note how long that takes, its memory and its event loop.

    Raises Failed where it does not know them all in time.
    """
    await asyncio.to_thread(bed.platform.stack.stop, "operator")
    sizes: list[float] = []
    sampling = asyncio.create_task(_sample_memory(bed, sizes))
    began = time.monotonic()
    try:
        await asyncio.to_thread(bed.platform.stack.start, "operator")
        await asyncio.to_thread(bed.platform.stack.wait_ready, "operator")
        bed.note("live", f"{count:,}: restarted, ready after", "s", time.monotonic() - began)
        while (known := bed.metric(RESOURCES)) < count:
            if time.monotonic() > began + END_SECONDS:
                raise Failed(f"the operator knows {known:,.0f} of {count:,} resources after {END_SECONDS:g} s")
            await asyncio.sleep(0.5)
        bed.note("live", f"{count:,}: restarted, all known after", "s", time.monotonic() - began)
        latest = await _latest(bed, COMPARISONS_SECONDS)  # its first comparison is the largest
    finally:
        sampling.cancel()
    bed.note("live", f"{count:,}: restarted, event loop late by at most", "ms", latest * 1000)
    bed.note("live", f"{count:,}: restarted, operator at most", "MiB", max(sizes, default=0.0))


async def _sample_memory(bed: Bed, sizes: list[float]) -> None:
    """Note the memory of the operator over and over, while there is one."""
    while True:
        with suppress(KeyError):
            sizes.append(await asyncio.to_thread(bed.operator_mib))
        await asyncio.sleep(0.25)


async def catch_up(bed: Bed) -> None:
    """Stop the operator for a minute while resources are applied, and note how long it takes until all have ended."""
    async with watched(bed) as (applier, watcher):
        await asyncio.to_thread(bed.platform.stack.stop, "operator")
        await applier.at_rate(AWAY_RATE, AWAY_SECONDS, ttl=SUSTAINED_TTL)
        began = time.monotonic()
        await asyncio.to_thread(bed.platform.stack.start, "operator")
        names = set(applier.applied)
        ended = await watcher.until_ended(names, END_SECONDS)
        bed.note(
            "away",
            f"{len(names):,} that waited have ended after",
            "s",
            time.monotonic() - began if ended else END_SECONDS,
        )
        completed = {name for name, row in (await bed.rows(applier.prefix)).items() if row["status"] == "COMPLETED"}
        bed.note("away", LOST, "resources", len(names - completed))
    await gone(bed, END_SECONDS)


async def gone(bed: Bed, within: float) -> None:
    """Wait until no Checkout is left. Raises Failed where that takes longer: what follows would measure them too."""
    ends_at = time.monotonic() + within
    while left := bed.kube.count():
        if time.monotonic() > ends_at:
            raise Failed(f"{left:,} resources are still there after {within:g} s")
        await asyncio.sleep(1)
