"""`make bench-operator`: what the operator holds on a real API server and etcd. Exits with 1 where a figure misses its must.

It starts a platform of its own, sends load to it alone, and ends by itself. An interrupt ends it with a table of what there is.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from devstack.beside import ended_by_signals
from devstack.home import ROOT
from tests.bench.main import about
from tests.bench.measure import recording_failures
from tests.bench.operator_load import phases
from tests.bench.operator_load.plot import svg
from tests.bench.report import WIDTH, number
from tests.bench.results import Results, save
from tests.platforms import OnThisMachine, new_stack

OUT = ROOT / ".cartwright" / "bench-results"
MOST_RATE, MOST_SECONDS, MOST_LIVE = 300, 900, 20_000
WARM_UP = 200


@dataclass(frozen=True, slots=True)
class Must:
    """A bound of a figure, by the end of its name."""

    load: str
    name: str
    least: float = float("-inf")
    most: float = float("inf")

    @property
    def bound(self) -> str:
        """The bound in words."""
        return f"at most {number(self.most)}" if self.most < float("inf") else f"at least {number(self.least)}"


MUSTS = (
    Must("sustained", "to the end of the last one", least=100 * 0.95),  # the last ones end after the last was applied
    Must("sustained", phases.LOST, most=0),
    Must("sustained", "commit → status seen, p99", most=3),
    Must("sustained", "API writes, creation and deletion included", most=4.1),
    Must("sustained", "patches by kopf", most=0),
    Must("live", "5,000: operator", most=150),
    Must("live", "10,000: event loop late by at most", most=50),
    Must("away", "that waited have ended after", most=30),
    Must("away", phases.LOST, most=0),
)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench-operator", description=__doc__)
    parser.add_argument("--rate", type=float, default=100, help="resources a second")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--live", default="5000,10000", help="how many live resources, one load each")
    asked = parser.parse_args()
    try:
        asked.live = [int(one) for one in asked.live.split(",") if one]
    except ValueError:
        parser.error(f"--live: numbers with commas between, like 5000,10000 (got {asked.live!r})")
    if not (
        0 < asked.rate <= MOST_RATE
        and 0 < asked.seconds <= MOST_SECONDS
        and all(0 < one <= MOST_LIVE for one in asked.live)
    ):
        parser.error(f"--rate: up to {MOST_RATE}; --seconds: up to {MOST_SECONDS}; --live: up to {MOST_LIVE} each")
    return asked


def main() -> int:
    """Run the loads, and give the exit code."""
    asked, console = arguments(), Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    results = Results(machine=about())
    console.print("starting a platform of its own …")
    with (
        ended_by_signals(),
        recording_failures(results, console),
        new_stack("bench-operator", env={"BANK_SUCCESS_RATE": "1"}) as stack,
    ):
        platform = OnThisMachine(stack)
        asyncio.run(_run(phases.Bed(platform, platform.kube(), results, console.print), asked, console))
    table, missed = judged(results, asked.live)
    console.print(table)
    path = Path(OUT) / time.strftime("operator-%Y%m%d-%H%M%S.json")
    save(results, path)
    path.with_suffix(".svg").write_text(svg(results.lines))
    console.print(f"kept in {path} and {path.with_suffix('.svg').name}")
    return 1 if missed else results.exit_code


async def _run(bed: phases.Bed, asked: argparse.Namespace, console: Console) -> None:
    console.print(f"warming up: {WARM_UP} resources …")
    await phases.warm_up(bed, WARM_UP)
    bed.note("rest", "operator", "MiB", bed.operator_mib())
    console.print(f"sustained: {asked.rate:g} resources a second for {asked.seconds:g} s …")
    await phases.sustained(bed, asked.rate, asked.seconds)
    console.print(
        f"away: the operator is stopped for {phases.AWAY_SECONDS:g} s at {phases.AWAY_RATE:g} resources a second …"
    )
    await phases.catch_up(bed)
    for count in asked.live:
        console.print(f"live: {count:,} resources …")
        await phases.live(bed, count)


def judged(results: Results, live: Sequence[int]) -> tuple[Table, bool]:
    """Give the table of all figures with their musts, and whether one is missed; `live` are the numbers asked for.

    A must whose figure is not there is missed: it was not measured.
    """
    table, missed = Table(title="the operator"), False
    musts = [one for one in MUSTS if one.load != "live" or one.name.startswith(tuple(f"{count:,}:" for count in live))]
    for name in ("load", "figure", "value", "unit", "must"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for figure in results.figures:
        value = figure.values[-1]
        must = next(
            (one for one in musts if one.load == figure.load and f" {figure.name}".endswith(f" {one.name}")), None
        )
        verdict = ""
        if must is not None:
            musts.remove(must)
            good = must.least <= value <= must.most
            missed |= not good
            verdict = must.bound if good else f"[red]{must.bound}: missed[/]"
        table.add_row(figure.load, figure.name, number(value), figure.unit, verdict)
    for must in musts:
        table.add_row(must.load, must.name, "", "", f"[red]{must.bound}: not measured[/]")
    return table, missed or bool(musts)


if __name__ == "__main__":
    sys.exit(main())
