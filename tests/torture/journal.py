"""What a campaign has done so far, line by line in a file, so that it goes on where it was stopped."""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from devstack.home import ROOT
from tests.torture.points import Point

_CODE = (
    "services/**/*.py",
    "services/**/*.lua",
    "services/**/*.sql",
    "operator/**/*.py",
    "tests/torture/*.py",
)


class Verdict(StrEnum):
    """How a schedule has ended."""

    HELD = "held"
    HELD_IN_PART = "held-in-part"
    """Some of its faults were struck, and others not reached."""
    VIOLATED = "violated"
    NOT_REACHED = "not-reached"
    """Nothing was struck: the point was not passed this time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One schedule that was run."""

    name: str
    verdict: Verdict
    struck: tuple[str, ...]
    """The faults that were carried out."""
    seconds: float
    why: str = ""
    again: str = ""


def code_digest() -> str:
    """Return what stands for the code under test: results of other code prove nothing about it. Comments and docstrings are no code."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _CODE for path in ROOT.glob(pattern)):
        if not path.name.startswith("test_"):
            digest.update(path.relative_to(ROOT).as_posix().encode() + code(path))
    return digest.hexdigest()[:16]


def code(path: Path) -> bytes:
    """Return what a file does: a module of Python without its comments, docstrings and layout, any other file as it is."""
    if path.suffix != ".py":
        return path.read_bytes()
    module = ast.parse(path.read_text())
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [one for one in node.body if not _is_text(one)]
    return ast.dump(module).encode()


def _is_text(statement: ast.stmt) -> bool:
    """Return whether a statement is a text by itself: a docstring, or what stands below a constant."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


class Journal:
    """The file of a campaign."""

    def __init__(self, path: Path, *, fresh: bool = False, only_read: bool = False) -> None:
        """Read it. With `fresh`, or where the code has changed since, it begins anew, unless it is `only_read`."""
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.recording: dict[str, dict[Point, int]] = {}
        self.began_anew = False
        digest = code_digest()
        lines = path.read_text().splitlines() if path.exists() and not fresh else []
        head = json.loads(lines[0]) if lines else {}
        if head.get("code") != digest and not only_read:
            self.began_anew = bool(lines)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"code": digest}) + "\n")
            return
        for line in lines[1:]:
            self._read(line)

    def add(self, entry: Entry) -> None:
        """Note a schedule that was run."""
        self.entries[entry.name] = entry
        self._write(asdict(entry))

    def record(self, cast: str, points: Mapping[Point, int]) -> None:
        """Note how often a cast passes which points."""
        self.recording.setdefault(cast, {}).update(points)
        if points:
            self._write({"cast": cast, "points": {str(point): count for point, count in points.items()}})

    def _write(self, what: object) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(what) + "\n")

    def _read(self, line: str) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            return  # the last line of a run that was killed
        if "cast" in found:
            points = {Point.parse(point): count for point, count in found["points"].items()}
            self.recording.setdefault(found["cast"], {}).update(points)
        else:
            found["struck"] = tuple(found["struck"])
            found["verdict"] = Verdict(found["verdict"])
            self.entries[found["name"]] = Entry(**found)
