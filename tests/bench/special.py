"""The loads that are no closed loop of requests: overload, resources, starts and memory."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass

from tests.bench.cpu import cpu_seconds, memory_mib
from tests.bench.generator import Order
from tests.bench.loads import CLOSED
from tests.bench.measure import Scales, new_users
from tests.bench.operator_load.applying import Applier
from tests.bench.operator_load.watching import following
from tests.bench.results import OURS, Results
from tests.kube import Kube

RESOURCES = 1500
RESOURCE_SECONDS = 300.0
OVERLOAD_SECONDS, AFTER_SECONDS = 15.0, 30.0
OVERLOAD_CONNECTIONS = 512
TIMES = 3
BACK_SHARE = 0.9
LATE_SECONDS = 5
"""How long an answer to a checkout may take: what was asked later than this before the end may be answered after it."""


def overload(scales: Scales, results: Results, number: int) -> None:
    """Send three times what 64 buyers reach, whatever comes back, and at once thereafter half of what they reach.

    Capacity is measured in the same round. Noted is the goodput under overload as a share of it, and how many seconds
    after the overload nine in ten of what is asked succeed again. Nothing rests in between, so what the overload left to do is
    counted neither as its own nor as anybody's.
    """
    measured = [run.rate for run in results.runs if (run.load, run.target, run.round) == ("buyers64", OURS, number)]
    capacity = measured[0] if measured else scales.run(CLOSED["buyers64"], OURS, number).rate
    port = scales.port()
    order = Order(
        port, "buyers", OVERLOAD_CONNECTIONS, 1, new_users(), OVERLOAD_SECONDS, rate=max(1.0, capacity * TIMES)
    )
    run, words = scales.open_loop("overload", number, order)
    results.runs.append(run)
    results.note("overload", "capacity (64 buyers)", "checkouts/s", capacity)
    results.note("overload", "goodput of capacity", "share", run.rate / capacity if capacity else 0.0)
    results.note("overload", "not sent: every connection waits", "checkouts", float(words["not_sent"]))
    after = Order(port, "buyers", OVERLOAD_CONNECTIONS, 1, new_users(), AFTER_SECONDS, rate=max(1.0, capacity / 2))
    _, words = scales.open_loop("overload", number, after)
    results.note(
        "overload", "back to 90 % good after", "s", back_after(words["good_by_second"], after.rate, AFTER_SECONDS)
    )


def back_after(good_by_second: dict[str, int], rate: float, seconds: float) -> float:
    """Give after how many seconds nine in ten of what is asked are good from then on; all seconds where they never are.

    `good_by_second` has them by the second in which they were asked. The last LATE_SECONDS are left out: their answers may come too late to be seen.
    """
    last = int(seconds) - LATE_SECONDS
    bad = [second for second in range(last) if good_by_second.get(str(second), 0) < BACK_SHARE * rate - 1]
    if not bad:
        return 0.0
    return seconds if bad[-1] == last - 1 else bad[-1] + 1.0


def resources(scales: Scales, results: Results) -> None:
    """Apply 1,500 Checkout resources as fast as the API server takes them, and wait until each is finished."""
    kube = scales.platform.kube()
    writes, before = kube.writes(), cpu_seconds(scales.pids())

    bought = asyncio.run(buy_by_resource(kube, RESOURCES, RESOURCE_SECONDS))
    after = cpu_seconds(scales.pids())
    results.note("resources", "finished", "resources", float(bought.finished))
    results.note("resources", "created", "resources/s", RESOURCES / bought.created_in)
    results.note("resources", "to the end", "resources/s", bought.finished / bought.took)
    results.note("resources", "API writes, ours included", "a resource", (kube.writes() - writes) / RESOURCES)
    for part in ("operator", "apiserver", "etcd", "checkout", "postgres"):
        results.note("resources", f"cpu {part}", "ms a resource", (after[part] - before[part]) * 1000 / RESOURCES)
    for name in bought.names:
        kube.delete(name)
    scales.quiet()


@dataclass(frozen=True, slots=True)
class Bought:
    """What became of resources: how many seconds it took to create them and until they had ended, and how many did."""

    names: Collection[str]
    created_in: float
    took: float
    finished: int


async def buy_by_resource(kube: Kube, count: int, within: float) -> Bought:
    """Create so many resources, and watch until each has ended, for so many seconds at most.

    They are watched, since lists would take the API server's time from them.
    """
    async with following(kube) as watcher, Applier(kube) as applier:
        began = time.monotonic()
        await applier.at_once(count, ttl=3600)
        created_in = time.monotonic() - began
        names = set(applier.applied)
        await watcher.until_ended(names, within - created_in)
        took = time.monotonic() - began
        return Bought(names, created_in, took, len(names & watcher.ended.keys()))


def memory(scales: Scales, results: Results, when: str) -> None:
    """Note the memory of every part, and of all."""
    found = memory_mib(scales.pids())
    results.note("memory", f"{when}: all parts and stores", "MiB", sum(found.values()))
    for part, mib in sorted(found.items(), key=lambda one: -one[1]):
        results.note("memory", f"{when}: {part}", "MiB", mib)


def starts(scales: Scales, results: Results) -> None:
    """Note how long it takes until a part that was ended is ready again."""
    stack = scales.platform.stack
    for part in ("gateway", "checkout"):
        stack.stop(part)
        began = time.monotonic()
        stack.start(part)
        stack.wait_ready(part)
        results.note("start", f"{part}, until it is ready", "s", time.monotonic() - began)
