"""The bench's tables, as they stand in a terminal or in a note."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Spread
from tests.bench.loads import CLOSED, SPECIAL
from tests.bench.results import OURS, Results, Row, rows

WIDTH = 200
SMALL = 10


def show(results: Results, console: Console) -> None:
    """Print everything that was measured."""
    found = rows(results)
    if results.interrupted:
        console.print("[yellow]interrupted: this is what was measured until then[/]")
    if found:
        console.print(_loads(found))
        console.print(_parts(found))
    if results.figures:
        console.print(_figures(results))
    shown_loads = {row.load for row in found}
    for run in results.runs:
        if run.target == OURS and run.load not in shown_loads:
            console.print(f"[red]{run.load}, run {run.round}: nothing was good[/]; answers: {_counts(run.answers)}")
    for row in found:
        if row.good_share < 1:
            console.print(f"[yellow]{row.load}[/]: {row.good_share:.1%} good; answers: {_counts(row.answers)}")


def _loads(found: Iterable[Row]) -> Table:
    table = Table(title="loads: median over the runs (least to most)")
    for name in ("load", "runs", "req/s", "÷ hello", "÷ peer", "p50 ms", "p99 ms", "cpu µs", "generator µs"):
        table.add_column(
            name,
            justify="left" if name == "load" else "right",
            no_wrap=name != "load",
            min_width=24 if name == "load" else None,
        )
    for row in found:
        title = CLOSED[row.load].title if row.load in CLOSED else SPECIAL.get(row.load, row.load)
        spreads = (row.rate, row.to_hello, row.to_peer, row.p50, row.p99, row.cpu, row.generator)
        table.add_row(f"{row.load}: {title}", str(row.runs), *(shown(one) for one in spreads))
    return table


def _parts(found: list[Row]) -> Table:
    parts = sorted({part for row in found for part in row.cpu_by_part}, key=lambda part: -_most(found, part))
    table = Table(title="processor time of each part, µs a good request (what it uses at rest is taken off)")
    table.add_column("part")
    for row in found:
        table.add_column(row.load, justify="right")
    for part in parts:
        table.add_row(part, *(number(row.cpu_by_part.get(part, 0.0)) for row in found))
    return table


def _most(found: Iterable[Row], part: str) -> float:
    return max(row.cpu_by_part.get(part, 0.0) for row in found)


def _figures(results: Results) -> Table:
    table = Table(title="single figures: median over the runs (least to most)")
    for name in ("load", "figure", "value", "unit"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for figure in results.figures:
        values = sorted(figure.values)
        middle: Spread = {"median": values[len(values) // 2], "least": values[0], "most": values[-1]}
        table.add_row(figure.load, figure.name, shown(middle), figure.unit)
    return table


def shown(one: Spread | None) -> str:
    """Give a spread as text; the ends are left out where they are the median."""
    if one is None:
        return "-"
    middle, least, most = number(one["median"]), number(one["least"]), number(one["most"])
    return middle if least == middle == most else f"{middle} ({least} to {most})"


def number(value: float) -> str:
    """Give a number with as many digits as mean anything."""
    if value >= SMALL * SMALL:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= SMALL else f"{value:.2f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())
