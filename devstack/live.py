"""The table that a person sees while the platform starts: a bar for each fetch and build, and the state of each part.

It is drawn again in place, so only on a terminal that can do that. Elsewhere the same is said in lines (`progress.Lines`).
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from devstack.progress import Lines, Step, spoken

BAR_WIDTH = 20
LEAST_WIDTH_WITH_BARS = 66  # of a terminal; on a narrower one the count says enough
NAME_WIDTH = 17
SAID_WIDTH = 24  # like "812 of 1,213 packages"
CLOCK_WIDTH = 11
CELL_WIDTH = 25  # of a part: its mark, and its name with a word where the mark does not say all
INDENT = 2
_SAID_BY_THE_MARK = {"ready": "", "waiting": "dim", "starting": "bold"}
"""The states that need no word, and how the name of such a part is shown."""
_AT_WORK = {"starting", "migrating", "preparing", "restarting", "stopping"}


def can_redraw(console: Console) -> bool:
    """Return whether what was written to the console can be drawn over: it is a terminal, and not a dumb one."""
    return console.file.isatty() and console.is_terminal and not console.is_dumb_terminal


class PlainLines(Lines):
    """Says in lines what the table shows: each step, and each part as its state changes."""

    def __init__(self, console: Console) -> None:
        super().__init__(lambda line: _print(console, line))
        self._console = console
        self._states: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: what was said stands."""

    def parts(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Say which parts have another state than before."""
        for row in rows:
            if self._states.get(row["name"]) != row["state"]:
                self._states[row["name"]] = row["state"]
                self._console.print(f"  {row['name']:<20} {row['state']}")


def shown_on(console: Console) -> "Shown":
    """Return what shows the start of the platform on a console."""
    return LiveTable(console) if can_redraw(console) else PlainLines(console)


def _print(console: Console, line: str) -> None:
    """Show a line: a sentence as it stands, anything else as work under way."""
    console.print(f"  {line}" if line.endswith(".") else f"  {line} …")


class LiveTable:
    """Shows steps and parts while it is entered. It is a `Reporter`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: list[Step] = []
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._began = self._parts_began = time.monotonic()
        self._ended = False
        self._plain = console.options.ascii_only
        self._spinner = Spinner("line" if self._plain else "dots", style="cyan")
        self._live = Live(get_renderable=self.table, console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._live.stop()

    def __call__(self, line: str, /) -> None:
        """Show a line above the table."""
        _print(self._console, line)

    def begin(self, step: Step, /) -> None:
        """Add the row of a step."""
        self._steps.append(step)
        self._live.refresh()

    def look(self, _: Step, /) -> None:
        """Draw the step as it is."""
        self._live.refresh()

    def end(self, _: Step, /) -> None:
        """Draw the step as it ended."""
        self._live.refresh()

    def parts(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show the state of each part from now on; the rows are those of `Stack.rows`."""
        if not self._rows:
            self._parts_began = time.monotonic()
        changed = [row["state"] for row in rows] != [row["state"] for row in self._rows]
        self._rows = rows
        if changed:
            self._live.refresh()

    def table(self) -> RenderableType:
        """Return the table as it is now."""
        shown: list[RenderableType] = []
        if self._rows:
            shown += [*self._programs(), self._of_parts(), self._sum()]
        elif self._steps:
            shown += [self._of_steps(), *self._below()]
        if not shown and not self._ended:
            shown.append(self._waiting("looking for the programs"))
        return Group(*shown)

    def _programs(self) -> list[Text]:
        """Return the line that stands for all steps once the parts start: with those the table would be too tall."""
        if not self._steps:
            return []
        took = spoken(self._parts_began - self._steps[0].began)
        return [Text.assemble(" " * INDENT, self._tick(), f" programs fetched and built: {len(self._steps)}, ", took)]

    def _waiting(self, text: str) -> RenderableType:
        line = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        line.add_row(self._spinner, Text(text, "dim"))
        return Padding(line, (0, 0, 0, INDENT))

    def _of_steps(self) -> RenderableType:
        table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column(width=1)
        table.add_column(width=NAME_WIDTH, no_wrap=True)
        bar_width = BAR_WIDTH if self._console.width >= LEAST_WIDTH_WITH_BARS else 0
        if bar_width:
            table.add_column(width=bar_width)
        said_width = max(12, self._console.width - NAME_WIDTH - bar_width - CLOCK_WIDTH - INDENT - 6)
        table.add_column(width=min(SAID_WIDTH, said_width), no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True, width=CLOCK_WIDTH)
        for step in self._steps:
            bar = [self._bar(step)] if bar_width else []
            table.add_row(self._mark(step), step.name, *bar, self._said(step), _clock(step))
        return Padding(table, (0, 0, 0, INDENT))

    def _mark(self, step: Step) -> RenderableType:
        if step.seconds is None:
            return self._spinner
        return self._cross() if step.failed else self._tick()

    def _tick(self) -> Text:
        return Text("+" if self._plain else "✓", "green")

    def _cross(self) -> Text:
        return Text("x" if self._plain else "✗", "bold red")

    @staticmethod
    def _bar(step: Step) -> RenderableType:
        if step.seconds is not None:
            return "" if step.failed else ProgressBar(1, 1, width=BAR_WIDTH)
        if step.at.share is None:
            return ProgressBar(None, width=BAR_WIDTH, pulse=True)
        return ProgressBar(1, step.at.share, width=BAR_WIDTH)

    @staticmethod
    def _said(step: Step) -> Text:
        if step.seconds is not None:
            return Text("not finished" if step.failed else _PAST[step.doing], "red" if step.failed else "dim")
        return Text(str(step.at) if step.at.total else step.doing)

    def _below(self) -> list[Text]:
        """Return the line that says what is worked on, and how long that usually takes."""
        if not (under_way := [step for step in self._steps if step.seconds is None]):
            return []
        step = under_way[-1]
        usual = f"usually {step.usual}" if step.usual else ""
        told = ", ".join(filter(None, (usual, step.at.detail)))
        return [Text(f"    {told}", "dim", no_wrap=True, overflow="ellipsis")]

    def _of_parts(self) -> RenderableType:
        columns = max(1, (self._console.width - INDENT) // CELL_WIDTH)
        depth = -(-len(self._rows) // columns)
        table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        for _ in range(columns):
            table.add_column(width=1)
            table.add_column(width=CELL_WIDTH - 3, no_wrap=True, overflow="ellipsis")
        for line in range(depth):
            table.add_row(*(cell for row in self._rows[line::depth] for cell in self._cell(row)))
        return Padding(table, (0, 0, 0, INDENT))

    def _cell(self, row: Mapping[str, Any]) -> tuple[RenderableType, RenderableType]:
        name, state = row["name"], row["state"]
        marks = {"ready": self._tick(), "failed": self._cross()} | dict.fromkeys(_AT_WORK, self._spinner)
        mark = marks.get(state, Text("." if self._plain else "·", "dim"))
        if state in _SAID_BY_THE_MARK:
            return mark, Text(name, _SAID_BY_THE_MARK[state])
        return mark, Text.assemble(name, " ", (state, "bold red" if state == "failed" else "yellow"))

    def _sum(self) -> Text:
        ready = sum(row["state"] == "ready" for row in self._rows)
        return Text(
            f"  {ready} of {len(self._rows)} parts are ready, {spoken(time.monotonic() - self._parts_began)}", "bold"
        )


_PAST = {"fetching": "fetched", "building": "built", "compiling": "compiled"}


def _clock(step: Step) -> Text:
    return Text(spoken(step.seconds if step.seconds is not None else time.monotonic() - step.began), "dim")


Shown = LiveTable | PlainLines
