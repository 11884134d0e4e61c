"""The logs of the platform for people: those of all parts in one order, filtered, and followed.

Our own parts write JSON lines (docs/logs.md). Other lines, such as those of the stores, are shown as they stand.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.text import Text

LEVELS = ("debug", "info", "warning", "error", "critical")
_STYLES = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}
_SHOWN_APART = frozenset({"timestamp", "level", "event", "service", "role", "exception"})
"""The fields that have a column of their own, or that the part's name says already."""
FIRST_LINES = 50
"""How many lines of each part are shown at the start where nothing is filtered."""
FIRST_BYTES = 256 * 1024
"""How much of the end of a long log is read for them."""
PAUSE_SECONDS = 0.2


class UnknownLevel(ValueError):
    """There is no log level of this name."""

    def __str__(self) -> str:
        return f"there is no log level {self.args[0]!r}; the levels are: {', '.join(LEVELS)}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a part's log. `fields` is None for one that is not JSON of ours."""

    part: str
    text: str
    fields: Mapping[str, Any] | None

    @property
    def time(self) -> str:
        """When it was written, as RFC 3339 in UTC; empty if the line does not say."""
        return str((self.fields or {}).get("timestamp", ""))


def parse(part: str, text: str) -> Line:
    """Return a line of a part's log."""
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    return Line(part, text, fields if isinstance(fields, dict) and "event" in fields else None)


@dataclass(slots=True)
class Filter:
    """Which lines are shown. A checkout's lines are those that name it, and those of the requests that these belong to."""

    request: str = ""
    checkout: str = ""
    level: str = ""
    """The least level. Empty: every line, of whatever level."""
    _requests: set[Any] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Raise UnknownLevel for a level that there is not."""
        self.level = self.level.lower()
        if self.level and self.level not in LEVELS:
            raise UnknownLevel(self.level)

    @property
    def shows_all(self) -> bool:
        """Whether nothing is left out."""
        return not (self.request or self.checkout or self.level)

    def learn(self, line: Line) -> None:
        """Note which request a line of the checkout belongs to."""
        fields = line.fields or {}
        if self.checkout and self.checkout in fields.values() and "request_id" in fields:
            self._requests.add(fields["request_id"])

    def shows(self, line: Line) -> bool:
        """Return whether a line is shown. What is not JSON of ours has no ids and no level: it is shown where all is."""
        if self.shows_all:
            return True
        fields = line.fields
        if fields is None:
            return False
        request = fields.get("request_id")
        return (
            (not self.request or request == self.request)
            and (not self.checkout or self.checkout in fields.values() or request in self._requests)
            and (not self.level or _rank(fields.get("level")) >= _rank(self.level))
        )


def _rank(level: object) -> int:
    """Return the place of a level among LEVELS; one that is not known counts as an error, so that it is not missed."""
    return LEVELS.index(str(level)) if level in LEVELS else LEVELS.index("error")


def render(line: Line, *, width: int) -> Text:
    """Return a line as it is shown: time, part, level, message, fields; a traceback stands below it. `width`: of the parts' names."""
    fields = line.fields
    if fields is None:
        return Text(line.text) if not width else Text.assemble((f"{line.part:<{width}}", "cyan"), " ", line.text)
    level = str(fields.get("level", ""))
    shown = Text.assemble(
        (line.time[11:23].rstrip("Z").ljust(12), "dim"),
        " ",
        (f"{line.part:<{width}} " if width else "", "cyan"),
        (f"{level:<7}", _STYLES.get(level, "")),
        " ",
        (str(fields["event"]), "bold"),
    )
    for name, value in fields.items():
        if name not in _SHOWN_APART and value is not None:
            shown.append(f" {name}=", "dim")
            shown.append(value if isinstance(value, str) and " " not in value else json.dumps(value))
    for below in _traceback(fields.get("exception")):
        shown.append(f"\n    {below}", "red")
    return shown


def _traceback(exception: Any) -> Iterator[str]:
    """Give the lines of a traceback: structlog writes a list of causes, the operator a text."""
    if isinstance(exception, str):
        yield from exception.splitlines()
    elif isinstance(exception, list):
        for cause in exception:
            for frame in cause.get("frames", ()):
                yield f"{frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
            yield f"{cause.get('exc_type')}: {cause.get('exc_value')}"


class Tail:
    """Reads the lines that are appended to a file. It begins again with a file that became shorter or was not there."""

    def __init__(self, part: str, path: Path) -> None:
        self._part = part
        self._path = path
        self._position = 0
        self._rest = b""

    def skip_to_end(self) -> None:
        """Leave out all but the last FIRST_BYTES of what is there already."""
        with contextlib.suppress(FileNotFoundError):
            start = self._path.stat().st_size - FIRST_BYTES
            if start > 0:
                with self._path.open("rb") as file:
                    file.seek(start)
                    file.readline()  # a part of a line
                    self._position = file.tell()

    def read(self) -> list[Line]:
        """Return the whole lines that have been appended since the last call."""
        try:
            size = self._path.stat().st_size
            if size < self._position:
                self._position, self._rest = 0, b""
            if size == self._position:
                return []
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = self._rest + file.read()
                self._position = file.tell()
        except FileNotFoundError:
            return []
        *lines, self._rest = data.split(b"\n")
        return [parse(self._part, line.decode(errors="replace")) for line in lines]


def show(
    files: Mapping[str, Path], wanted: Filter, say: Callable[[Text], None], *, follow: bool, pause: Callable[[], None]
) -> None:
    """Show what the parts have logged, in the order of time, and then what they log while `follow` is true.

    Without a filter it begins with the last FIRST_LINES of each part. `pause` is called between two looks at the files.
    """
    tails = [Tail(part, path) for part, path in files.items()]
    width = max(map(len, files)) if len(files) > 1 else 0
    if wanted.shows_all:
        for tail in tails:
            tail.skip_to_end()
    logged = [tail.read() for tail in tails]
    if wanted.shows_all:
        logged = [lines[-FIRST_LINES:] for lines in logged]
    _show(_in_order(logged), wanted, say, width)
    while follow:
        pause()
        _show(_in_order([tail.read() for tail in tails]), wanted, say, width)


def _show(lines: list[Line], wanted: Filter, say: Callable[[Text], None], width: int) -> None:
    for line in lines:
        wanted.learn(line)
    for line in lines:
        if wanted.shows(line):
            say(render(line, width=width))


def _in_order(logged: Iterable[list[Line]]) -> list[Line]:
    """Return the lines of all parts by time. A line without a time stays behind the one before it."""
    timed: list[tuple[str, Line]] = []
    for lines in logged:
        last = ""
        for line in lines:
            last = line.time or last
            timed.append((last, line))
    return [line for _, line in sorted(timed, key=lambda one: one[0])]


def wait() -> None:
    """Wait between two looks at the files."""
    time.sleep(PAUSE_SECONDS)
