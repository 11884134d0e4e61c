"""What a person sees while the lanes run: a bar for each on a terminal, and a line now and then anywhere else."""

import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from devstack.live import can_redraw
from devstack.progress import spoken
from tests.lane_progress import Lane, left

LINES_EVERY = 30.0  # seconds between two lines, which keeps the log of a CI run short
BAR_WIDTH = 20
_SHORT = 90.0  # seconds: what is left is told in minutes from here on


class Display:
    """Shows lanes while it is entered, on a terminal as a table that is drawn again in place."""

    def __init__(self, console: Console, lanes: Sequence[Lane]) -> None:
        self._console = console
        self._lanes = lanes
        self._told: dict[str, int] = {}
        """How many failures of each lane have been shown."""
        self._began = time.monotonic()
        self._said_at = self._began
        self._live = (
            Live(get_renderable=self.table, console=console, auto_refresh=False) if can_redraw(console) else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        else:
            self._console.print(self.line())

    def update(self) -> None:
        """Show how far the lanes are, and each new failure at once."""
        for lane in self._lanes:
            for failure in lane.failures[self._told.get(lane.name, 0) :]:
                self._console.print(str(failure), style="red")
            self._told[lane.name] = len(lane.failures)
        if self._live:
            self._live.refresh()
        elif time.monotonic() - self._said_at >= LINES_EVERY:
            self._said_at = time.monotonic()
            self._console.print(self.line())

    def line(self) -> str:
        """Return how far the lanes are as a line."""
        return f"{', '.join(f'{lane.name} {_count(lane)}' for lane in self._lanes)}; {self._sum()}"

    def table(self) -> RenderableType:
        """Return how far the lanes are as a table."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for lane in self._lanes:
            done = len(lane.took)
            bar = ProgressBar(len(lane.tests) or None, done, width=BAR_WIDTH, pulse=not lane.tests and not lane.over)
            table.add_row(lane.name, bar, _count(lane))
        running = [
            Text(f"  {_running(lane)}", "dim", no_wrap=True, overflow="ellipsis")
            for lane in self._lanes
            if lane.running
        ]
        return Group(table, *running, Text(self._sum(), "bold"))

    def _sum(self) -> str:
        so_far = f"{spoken(time.monotonic() - self._began)} so far"
        if all(lane.over for lane in self._lanes):
            return f"{spoken(time.monotonic() - self._began)} in all"
        rest = left(self._lanes)
        if rest is None:
            return f"{so_far}; what is left is known from the next run on" if self._are_collected else so_far
        return f"{so_far}, about {_about(rest)} left"

    @property
    def _are_collected(self) -> bool:
        return all(lane.tests or lane.over for lane in self._lanes)


def _count(lane: Lane) -> str:
    failed = f", {len(lane.failures)} failed" if lane.failures else ""
    if not lane.tests:
        return ("over" if lane.over else "being collected") + failed
    return f"{len(lane.took):,} of {len(lane.tests):,}{failed}"


def _running(lane: Lane) -> str:
    return f"{lane.running.removeprefix('tests/')} ({spoken(time.monotonic() - lane.running_since)})"


def _about(seconds: float) -> str:
    return spoken(seconds) if seconds < _SHORT else f"{round(seconds / 60)} min"
