"""What fetches and builds report while they work: lines now and then, or bars where a person looks on.

A function that fetches or builds gets a `Say`, which any function of one line is. One that can show more is a `Reporter`.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

Say = Callable[[str], None]
LINES_EVERY = 20.0  # seconds between the lines of a step that goes on
LOOK_EVERY = 0.2  # seconds between two looks at how far a program is


@dataclass(frozen=True, slots=True)
class Done:
    """How much of a step is done. `total` is None while it is not known, and `unit` says of what."""

    done: float = 0
    total: float | None = None
    unit: str = ""
    detail: str = ""
    """What is worked on now, such as the package that is compiled."""

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where the total is not known."""
        return min(1.0, self.done / self.total) if self.total else None

    def __str__(self) -> str:
        digits = 1 if self.unit == "MB" else 0
        if self.total is None:
            return ""
        return f"{min(self.done, self.total):,.{digits}f} of {self.total:,.{digits}f} {self.unit}"


@dataclass(slots=True)
class Step:
    """A fetch or a build."""

    name: str
    doing: str
    """Like "fetching" or "building from source"."""
    began: float
    """By the monotonic clock."""
    usual: str = ""
    """How long it usually takes, like "1 to 3 minutes"; empty where it takes seconds."""
    at: Done = field(default_factory=Done)
    seconds: float | None = None
    """How long it took; None while it goes on."""
    failed: bool = False

    def end(self, *, failed: bool) -> None:
        """Note that it has ended."""
        self.seconds, self.failed = time.monotonic() - self.began, failed


@runtime_checkable
class Reporter(Protocol):
    """Shows lines and steps."""

    def __call__(self, line: str, /) -> None:
        """Show a line."""

    def begin(self, step: Step, /) -> None:
        """Show a step from now on; its fields change while it goes on."""

    def look(self, step: Step, /) -> None:
        """Show how far it is."""

    def end(self, step: Step, /) -> None:
        """Show that it has ended."""


class Lines:
    """Reports steps as lines: one at its start, one now and then, and one at the end of what takes minutes."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._said_at = 0.0

    def __call__(self, line: str, /) -> None:
        """Show a line."""
        self._say(line)

    def begin(self, step: Step, /) -> None:
        """Say what is done, and how long that takes."""
        self._say(f"{step.doing} {step.name}" + (f" ({step.usual}, this once)" if step.usual else ""))
        self._said_at = step.began

    def look(self, step: Step, /) -> None:
        """Say how far it is, at most every LINES_EVERY seconds."""
        now = time.monotonic()
        if now - self._said_at >= LINES_EVERY:
            self._said_at = now
            said = [f"still {step.doing} {step.name}: {spoken(now - step.began)} so far", str(step.at)]
            usual = f"; usually {step.usual}" if step.usual else ""
            self._say(", ".join(filter(None, said)) + usual)

    def end(self, step: Step, /) -> None:
        """Say how long it took, if that was minutes."""
        if step.usual and step.seconds is not None and not step.failed:
            self._say(f"built {step.name} in {spoken(step.seconds)}.")


def reporter(say: Say) -> Reporter:
    """Return what reports steps to `say`: itself where it can, lines otherwise."""
    return say if isinstance(say, Reporter) else Lines(say)


@contextmanager
def step(say: Say, name: str, doing: str, usual: str = "") -> Iterator[Callable[[Done], None]]:
    """Report a step while the block runs; it is given the function that says how much is done."""
    told, under_way = reporter(say), Step(name, doing, time.monotonic(), usual)
    told.begin(under_way)

    def at(done: Done) -> None:
        under_way.at = done
        told.look(under_way)

    try:
        yield at
    except BaseException:
        under_way.end(failed=True)
        told.end(under_way)
        raise
    under_way.end(failed=False)
    told.end(under_way)


def run(
    command: Sequence[str], env: Mapping[str, str], look: Callable[[str], None], *, folder: Path | None = None
) -> tuple[int, str]:
    """Run a program in `folder`, and return its exit code and what it wrote. `look` gets what it has written so far."""
    with tempfile.NamedTemporaryFile() as log, Path(log.name).open("ab") as output:

        def written() -> str:
            return Path(log.name).read_text(errors="replace")

        with subprocess.Popen(
            command, cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as running:
            try:
                while True:
                    try:
                        code = running.wait(LOOK_EVERY)
                        break
                    except subprocess.TimeoutExpired:
                        look(written())
            except BaseException:
                running.kill()
                raise
        return code, written()


def spoken(seconds: float) -> str:
    """Return a duration for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
