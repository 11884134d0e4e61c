"""Builds the checker, a Go program around porcupine, and asks it about histories."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devstack import fetch, golang
from devstack.home import user_environment
from tests.linearizability.history import Operation

SOURCES = Path(__file__).parent / "checker"
OBJECT_SECONDS = 60
"""The most time for the history of one object."""
WRONG_INPUT = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker says of some histories."""

    objects: int
    operations: int
    unknown: int
    """Operations without an answer, which may have taken effect at any time since, or never."""
    not_linearizable: tuple[str, ...]
    undecided: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether each history is linearizable."""
        return not self.not_linearizable and not self.undecided


def say(text: str) -> None:
    """Write a line to the terminal."""
    sys.stderr.write(f"{text}\n")


def program() -> Path:
    """Return the checker; build it where its sources have changed."""
    env = user_environment()
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    target = fetch.cache_folder(env) / f"linearizability-{digest.hexdigest()[:12]}"

    def build(folder: Path) -> None:
        go, settings = golang.toolchain(env, say)
        say("building the checker of linearizability (less than a minute, this once)")
        built = subprocess.run(
            [str(go), "build", "-mod=readonly", "-trimpath", "-o", str(folder / "check"), "."],
            cwd=SOURCES,
            env=golang.environment({**env, **settings}),
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            raise fetch.CannotFetch(f"the checker could not be built: {built.stderr}")

    if not target.exists():
        fetch.into(target, build, say)
    return target / "check"


def check(operations: Iterable[Operation], pages: Path | None = None) -> Verdict:
    """Return whether the history of each object is linearizable. Of one that is not a page for a browser is drawn into `pages`."""
    command = [str(program()), "-seconds", str(OBJECT_SECONDS)]
    if pages is not None:
        pages.mkdir(parents=True, exist_ok=True)
        command += ["-pages", str(pages)]
    asked = json.dumps([one.as_json() for one in operations])
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    if done.returncode >= WRONG_INPUT or done.returncode < 0:
        raise AssertionError(f"the checker failed: {done.stderr}")
    said = json.loads(done.stdout)
    return Verdict(
        said["objects"],
        said["operations"],
        said["unknown"],
        tuple(said["not_linearizable"]),
        tuple(said["undecided"]),
    )
