"""How far the lanes of the tests are, from their events: counts, failures, and how long the rest will take. Pure."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TRUSTED_SECONDS = 20.0
"""The pace of a lane counts once tests that took so long the last time have ended: short ones say little."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A test, or its set-up or clean-up, that failed."""

    test: str
    why: str

    def __str__(self) -> str:
        return f"FAILED {self.test}" + (f": {self.why}" if self.why else "")


@dataclass(slots=True)
class Lane:
    """One lane."""

    name: str
    expected: Mapping[str, float]
    """How long each test took the last time, in seconds."""
    tests: Sequence[str] = ()
    """Empty until they are collected."""
    took: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    running: str = ""
    running_since: float = 0.0
    over: bool = False

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take note of an event."""
        match event["kind"]:
            case "collected":
                self.tests = event["tests"]
            case "began":
                self.running, self.running_since = event["test"], time.monotonic()
            case "failed":
                self.failures.append(Failure(event["test"], event["why"]))
            case "ended":
                self.took[event["test"]] = event["seconds"]
                self.running = ""

    @property
    def left(self) -> float | None:
        """The seconds that the rest will take, at the pace so far; None where no last run says how long it takes."""
        if self.over:
            return 0.0
        known = [self.expected[test] for test in self.tests if test in self.expected]
        if not known:
            return None
        usual = sum(known) / len(known)  # of a test that was not there the last time
        done = sum(self.expected.get(test, usual) for test in self.took)
        pace = sum(self.took.values()) / done if done >= TRUSTED_SECONDS else 1.0
        rest = sum(self.expected.get(test, usual) for test in self.tests if test not in self.took) * pace
        if self.running:
            rest -= min(time.monotonic() - self.running_since, self.expected.get(self.running, usual) * pace)
        return max(0.0, rest)


def left(lanes: Sequence[Lane]) -> float | None:
    """Return the seconds until the last lane ends; None while that is not known of each."""
    each = [lane.left for lane in lanes]
    return None if any(one is None for one in each) else max(filter(None, each), default=0.0)


class Reader:
    """Reads the events of a lane as they are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the events since the last call."""
        if not self._path.exists():
            return []
        with self._path.open() as file:
            file.seek(self._position)
            data = file.read()
        whole = data[: data.rfind("\n") + 1]
        self._position += len(whole.encode())
        return [json.loads(line) for line in whole.splitlines()]


def durations(path: Path) -> dict[str, float]:
    """Return how long each test took the last time; empty where that is not known."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def keep(path: Path, lanes: Sequence[Lane]) -> None:
    """Keep how long the tests took; those that did not run keep what they took before."""
    took = durations(path)
    for lane in lanes:
        took |= lane.took
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(took))
    scratch.replace(path)
