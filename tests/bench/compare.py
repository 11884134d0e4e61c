"""Two benches side by side: run as `make bench-compare A=before.json B=after.json`.

Absolute figures do not repeat on shared machines; processor time and the ratio to hello do. A difference is marked where the
runs of the two do not overlap.
"""

import argparse
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tests.bench.figures import Spread, spread
from tests.bench.report import WIDTH, number
from tests.bench.results import Results, load, rows


def compared(before: Spread, after: Spread) -> tuple[str, str, str]:
    """Give both medians and their ratio; the ratio has a star where the runs do not overlap."""
    ratio = after["median"] / before["median"] if before["median"] else 0.0
    apart = after["least"] > before["most"] or after["most"] < before["least"]
    return number(before["median"]), number(after["median"]), f"{ratio:.2f}{' *' if apart else ''}"


def lines(before: Results, after: Results) -> list[tuple[str, str, str, str, str]]:
    """Give a line for each figure that both have: load, figure, before, after, ratio."""
    found = []
    old = {row.load: row for row in rows(before)}
    for row in rows(after):
        if (was := old.get(row.load)) is None:
            continue
        pairs: list[tuple[str, Spread | None, Spread | None]] = [
            ("÷ hello", was.to_hello, row.to_hello),
            ("req/s", was.rate, row.rate),
            ("p50 ms", was.p50, row.p50),
            ("p99 ms", was.p99, row.p99),
            ("cpu µs", was.cpu, row.cpu),
        ]
        found += [(row.load, name, *compared(one, two)) for name, one, two in pairs if one and two]
    kept = {(figure.load, figure.name): figure for figure in before.figures}
    for figure in after.figures:
        if was_figure := kept.get((figure.load, figure.name)):
            values = compared(spread(was_figure.values), spread(figure.values))
            found.append((figure.load, f"{figure.name}, {figure.unit}", *values))
    return found


def main() -> int:
    """Compare two files, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    asked = parser.parse_args()
    console = Console(width=WIDTH if not sys.stdout.isatty() else None)
    try:
        before, after = load(asked.before), load(asked.after)
    except (OSError, msgspec.DecodeError) as error:
        console.print(f"[red]cannot be compared:[/] {error}")
        return 1
    table = Table(title=f"{asked.before} → {asked.after}; * = the runs of the two do not overlap")
    for name in ("load", "figure", "before", "after", "after ÷ before"):
        table.add_column(name, justify="left" if name in {"load", "figure"} else "right")
    last = ""
    for name, *rest in lines(before, after):
        table.add_row(name if name != last else "", *rest, end_section=False)
        last = name
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
