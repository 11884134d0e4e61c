"""`make mutants`: has mutmut change the pure cores in every small way it knows, and says which changes no test notices.

Each that is not noticed must be explained in `explained.yaml`, or the run fails. It goes on where an earlier run was interrupted, and
tries again only what has changed since.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml

from devstack import fetch
from devstack.home import ROOT, user_environment
from tests.seeds.sandbox import project_files

COPY = ROOT / ".cartwright" / "mutants"
EXPLAINED = Path(__file__).parent / "explained.yaml"
OPERATOR, MOVED = "operator/checkout_operator/", "src/checkout_operator/"
SURVIVED, NOT_TESTED = 0, (33, 5)
"""The exit codes that mutmut keeps: pytest succeeded; no test comes by."""


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one line of a function."""

    function: str
    was: str
    becomes: str


def copy() -> None:
    """Bring the copy of the project up to date. What has not changed keeps its time, so that mutmut knows it again."""
    for name in project_files():
        there = COPY / (MOVED + name.removeprefix(OPERATOR) if name.startswith(OPERATOR) else name)
        here = ROOT / name
        if there.exists() and there.stat().st_mtime_ns == here.stat().st_mtime_ns:
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(here, there)


def mutmut(*words: str, quiet: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run mutmut in the copy."""
    env = user_environment()
    installed = fetch.tool("mutmut", env, say)
    # CI: Hypothesis draws the same examples each time, and does not mind how long a busy machine takes for them.
    env |= {"PYTHONPATH": str(installed), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "1"}
    return subprocess.run(
        [sys.executable, "-m", "mutmut", *words], cwd=COPY, env=env, check=False, capture_output=quiet, text=True
    )


def results() -> Iterator[tuple[str, dict[str, int | None]]]:
    """Yield each module that was mutated, and the exit code of each of its mutants."""
    for path in sorted((COPY / "mutants").rglob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        if codes:
            yield path.relative_to(COPY / "mutants").as_posix().removesuffix(".py.meta"), codes


def change(name: str) -> Mutant:
    """Return what a mutant changes."""
    lines = mutmut("show", name, quiet=True).stdout.splitlines()

    def side(sign: str) -> str:
        return " ".join(line[1:].strip() for line in lines if line.startswith(sign) and not line.startswith(sign * 3))

    return Mutant(name.rpartition("__mutmut_")[0], side("-"), side("+"))


def explained() -> dict[Mutant, str]:
    """Return why each known survivor may survive."""
    entries = yaml.safe_load(EXPLAINED.read_text()) or []
    return {
        Mutant(entry["function"], change["was"], change["becomes"]): entry["why"]
        for entry in entries
        for change in entry["changes"]
    }


def main(jobs: Annotated[int, typer.Option(help="how many mutants are tried at once")] = 2) -> None:
    """Run mutmut, print the scores and the survivors, and exit with 1 where one is not explained."""
    copy()
    if mutmut("run", "--max-children", str(jobs)).returncode:
        raise typer.Exit(2)
    known, unexplained = explained(), 0
    total = noticed = 0
    for module, codes in results():
        alive = [name for name, code in codes.items() if code in {SURVIVED, *NOT_TESTED}]
        total += len(codes)
        noticed += len(codes) - len(alive)
        say(
            f"{module:40}  {len(codes):4} mutants  {len(codes) - len(alive):4} noticed  {1 - len(alive) / len(codes):6.1%}"
        )
        for name in alive:
            mutant = change(name)
            why = known.get(mutant)
            unexplained += why is None
            say(f"    {name}\n      - {mutant.was}\n      + {mutant.becomes}\n      {why or 'NOT EXPLAINED'}")
    say(f"noticed {noticed} of {total} ({noticed / total:.1%}); {unexplained} of the others are not explained")
    raise typer.Exit(1 if unexplained else 0)


if __name__ == "__main__":
    typer.run(main)
