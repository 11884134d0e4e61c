"""Prints what a campaign has run so far."""

from collections import Counter

from rich.console import Console
from rich.table import Table

from tests.torture.journal import Journal, Verdict
from tests.torture.plan import FOUND, cast_of, passes
from tests.torture.points import Fault


def report(journal: Journal, console: Console) -> None:
    """Print the points that are known, the faults that struck, and the verdicts; each violation with the command that repeats it."""
    points = cast_of(journal.recording)
    found = journal.recording.get(FOUND, set())
    table = Table(
        title=f"{len(points)} points: {len(points) - len(found)} of a purchase (at {sum(passes(journal.recording).values())} passes), {len(found)} that only faults lead to"
    )
    for column in ("part", "points"):
        table.add_column(column)
    for part, count in sorted(Counter(point.part for point in points).items()):
        table.add_row(part, str(count))
    console.print(table)
    faults: Counter[str] = Counter(fault for entry in journal.entries.values() for fault in entry.struck)
    verdicts = Counter(entry.verdict for entry in journal.entries.values())
    table = Table(title=f"{len(journal.entries)} schedules, {sum(faults.values())} faults")
    for column in ("fault", "struck"):
        table.add_column(column)
    for fault in Fault:
        table.add_row(fault, str(faults[fault]))
    console.print(table)
    console.print(", ".join(f"{verdicts[verdict]} {verdict}" for verdict in Verdict))
    for entry in journal.entries.values():
        if entry.verdict is Verdict.VIOLATED:
            console.print(f"VIOLATED {entry.name}: {entry.why}\n  again: {entry.again}", markup=False, soft_wrap=True)
        elif entry.verdict is Verdict.NOT_REACHED:
            console.print(f"not reached: {entry.name}", markup=False, soft_wrap=True)
