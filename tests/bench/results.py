"""What a bench has measured: the runs of each load as they came, and what they come to. This is what the JSON file holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.figures import Spread, spread

OURS, HELLO, PEER = "cartwright", "hello", "peer"
MS = 1000
US = 1_000_000
INTERRUPTED = 130


class Run(msgspec.Struct, frozen=True):
    """One run of a load on one target: `cpu` in seconds by part, `times` in seconds by label."""

    load: str
    target: str
    round: int
    seconds: float
    requests: int
    good: int
    not_sent: int
    ended: str
    answers: dict[str, int]
    times: dict[str, dict[str, float]]
    unit: str
    cpu: dict[str, float]
    generator_cpu: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds if self.seconds else 0.0


class Figure(msgspec.Struct, frozen=True):
    """A figure that is no run of requests: its value and unit, over the runs."""

    load: str
    name: str
    unit: str
    values: list[float]


class Line(msgspec.Struct, frozen=True):
    """How a figure went over time: a value for each step of so many seconds."""

    load: str
    name: str
    unit: str
    step_seconds: float
    values: list[float]


class Results(msgspec.Struct):
    """Everything that one bench has measured, and on what."""

    machine: dict[str, Any]
    runs: list[Run] = msgspec.field(default_factory=list)
    figures: list[Figure] = msgspec.field(default_factory=list)
    lines: list[Line] = msgspec.field(default_factory=list)
    interrupted: bool = False
    """Whether the bench ended early."""
    failed: bool = False
    """Whether it did so for a reason of its own, and not since somebody interrupted it."""

    @property
    def exit_code(self) -> int:
        """The exit code of a bench with these results."""
        return 1 if self.failed else INTERRUPTED if self.interrupted else 0

    def note(self, load: str, name: str, unit: str, value: float) -> None:
        """Add one value of a figure."""
        for figure in self.figures:
            if (figure.load, figure.name) == (load, name):
                figure.values.append(value)
                return
        self.figures.append(Figure(load, name, unit, [value]))


class Row(msgspec.Struct, frozen=True):
    """What a load's runs on our gateway come to. Times in ms, processor time in µs a good request."""

    load: str
    runs: int
    rate: Spread
    to_hello: Spread | None
    to_peer: Spread | None
    p50: Spread
    p99: Spread
    cpu: Spread
    cpu_by_part: dict[str, float]
    generator: Spread
    good_share: float
    answers: dict[str, int]


def rows(results: Results) -> list[Row]:
    """Sum up the runs, one row a load, in the order in which they came."""
    names = list(dict.fromkeys(run.load for run in results.runs))
    return [row for name in names if (row := _row(name, [run for run in results.runs if run.load == name]))]


def _row(name: str, runs: Sequence[Run]) -> Row | None:
    ours = [run for run in runs if run.target == OURS and run.good]
    if not ours:
        return None
    parts = sorted({part for run in ours for part in run.cpu})
    answers: dict[str, int] = {}
    for run in ours:
        for answer, count in run.answers.items():
            answers[answer] = answers.get(answer, 0) + count
    return Row(
        load=name,
        runs=len(ours),
        rate=spread([run.rate for run in ours]),
        to_hello=_ratio(ours, [run for run in runs if run.target == HELLO]),
        to_peer=_ratio(ours, [run for run in runs if run.target == PEER and run.good]),
        p50=spread([_time(run, "p50") for run in ours]),
        p99=spread([_time(run, "p99") for run in ours]),
        cpu=spread([sum(run.cpu.values()) / run.good * US for run in ours]),
        cpu_by_part={
            part: spread([run.cpu.get(part, 0.0) / run.good * US for run in ours])["median"] for part in parts
        },
        generator=spread([run.generator_cpu / run.good * US for run in ours]),
        good_share=sum(run.good for run in ours) / sum(run.requests for run in ours),
        answers=answers,
    )


def _time(run: Run, which: str) -> float:
    return run.times.get(run.unit, {}).get(which, 0.0) * MS


def _ratio(ours: Sequence[Run], others: Sequence[Run]) -> Spread | None:
    """Give the ratio of the rates, round by round: what slowed the machine then slowed both."""
    rates = {other.round: other.rate for other in others if other.rate}
    ratios = [our.rate / rates[our.round] for our in ours if our.round in rates]
    return spread(ratios) if ratios else None


def save(results: Results, path: Path) -> None:
    """Write the JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))


def load(path: Path) -> Results:
    """Read a JSON file; msgspec.ValidationError where it is none of ours."""
    return msgspec.json.decode(path.read_bytes(), type=Results)
