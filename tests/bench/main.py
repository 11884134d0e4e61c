"""`make bench`: starts a platform of its own, runs the loads in rounds, and prints, saves and draws what they cost.

Every round runs each load on a bare aiohttp server, on our gateway and, where BENCH_PEER names one, on another gateway, one
right after the other: what slows the machine slows all of them. An interrupt ends it with a table of what there is.
"""

import argparse
import os
import platform as machine
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from rich.console import Console

from devstack.beside import ended_by_signals
from devstack.home import ROOT
from tests.bench import special
from tests.bench.course import Course
from tests.bench.loads import CLOSED, UnknownLoad, chosen
from tests.bench.measure import MIRROR_TTL, Scales, hello, recording_failures
from tests.bench.plot import svg
from tests.bench.report import WIDTH, show
from tests.bench.report import number as shown
from tests.bench.results import OURS, Results, rows, save
from tests.platforms import OnThisMachine, new_stack

LOOPBACK = ("127.0.0.1", "localhost")
MOST_RUNS = 20


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", default="", help="like products,cart; all where it is empty")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", default="", help="another gateway of this machine, like http://127.0.0.1:8081")
    parser.add_argument("--out", type=Path, default=ROOT / ".cartwright" / "bench-results")
    asked = parser.parse_args()
    try:
        asked.loads = chosen(asked.loads)
    except UnknownLoad as error:
        parser.error(str(error))
    if not 1 <= asked.runs <= MOST_RUNS:
        parser.error(f"--runs: 1 to {MOST_RUNS}")
    peer = urlsplit(asked.peer)
    if asked.peer and (peer.scheme != "http" or peer.hostname not in LOOPBACK or not peer.port):
        parser.error("--peer: only a gateway of this machine is put under load, like http://127.0.0.1:8081")
    asked.peer_port = peer.port if asked.peer else None
    return asked


def main() -> int:
    """Run the bench, and give the exit code."""
    asked, console = arguments(), Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    results = Results(machine=about())
    console.print("starting a platform of its own …")
    settings = {"BANK_SUCCESS_RATE": "1", "LOG_LEVEL": "info", "MIRROR_SUCCESS_TTL": MIRROR_TTL}
    began = time.monotonic()
    with (
        ended_by_signals(),
        recording_failures(results, console),
        new_stack("bench", env=settings) as stack,
        hello() as port,
    ):
        results.note("start", "the platform from nothing, until all is ready", "s", time.monotonic() - began)
        measure(Scales(OnThisMachine(stack), port, asked.peer_port), results, asked, console)
    show(results, console)
    path = asked.out / time.strftime("%Y%m%d-%H%M%S.json")
    save(results, path)
    path.with_suffix(".svg").write_text(svg(rows(results)))
    console.print(f"kept in {path} and {path.with_suffix('.svg').name}")
    return results.exit_code


def measure(scales: Scales, results: Results, asked: argparse.Namespace, console: Console) -> None:
    """Warm up, then run every load on every target, round after round."""
    for name in ("products", "cart", "buyers8"):
        console.print(f"warming up: {name} …")
        scales.run(CLOSED[name], OURS, 0)
    scales.rest()
    if "memory" in asked.loads:
        special.memory(scales, results, "at rest")
    course = Course([name for name in asked.loads if name != "memory"], asked.runs)
    for number in range(1, asked.runs + 1):
        for name in course.loads:
            began = time.monotonic()
            run(scales, results, name, number)
            took = time.monotonic() - began
            course.ran(name, took)
            # A line after each load: a bar that is drawn while one runs would take from the cores that are measured.
            console.print(f"  run {number} of {asked.runs}: {name:<10} {last(results, name)} ({took:.0f} s); {course}")
    if "memory" in asked.loads:
        special.memory(scales, results, "after all loads")


def run(scales: Scales, results: Results, name: str, number: int) -> None:
    """Run a load once, on every target that can take it."""
    match name:
        case "overload":
            special.overload(scales, results, number)
        case "resources":
            special.resources(scales, results)
        case "start":
            special.starts(scales, results)
        case _:
            for target in scales.targets:
                results.runs.append(scales.run(CLOSED[name], target, number))


def last(results: Results, name: str) -> str:
    """Say how our last run of a load went."""
    ours = [run for run in results.runs if run.load == name and run.target == OURS]
    return f"{shown(ours[-1].rate)}/s, {ours[-1].good:,} of {ours[-1].requests:,} good" if ours else "done"


def about() -> dict[str, object]:
    """Say what it was measured on."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": machine.python_version(),
        "system": machine.platform(),
        "cores": psutil.cpu_count(),
        "memory_mib": psutil.virtual_memory().total >> 20,
        "load_at_start": list(os.getloadavg()),
    }


if __name__ == "__main__":
    sys.exit(main())
