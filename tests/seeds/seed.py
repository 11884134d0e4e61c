"""Seeded bugs: small mistakes that real shops have made, each with the test that must notice it.

A seed is a change of some whole lines of one file. It is kept as the old lines and the new ones, without the indentation that
they share, so that it reads as code does. Its old lines must be in the file exactly once. Where they are not, the seed is out of
date, which is an error.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

BUGS = Path(__file__).parent / "bugs"


class SeedError(Exception):
    """A seed cannot be used; `str()` says which and why."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A mistake to plant."""

    name: str
    loses: str
    """What a shopper or the shop would lose by it, in one sentence."""
    rule: str
    """The promise or rule that it breaks, as design and docs number them."""
    test: str
    """The test that must fail, as pytest names it."""
    file: str
    old: str
    new: str
    fails_with: str = "AssertionError"
    """The error that the test must fail with. A test that fails with another one has not noticed the mistake."""

    def planted(self, text: str) -> str:
        """Return the text of the file with the mistake in it. Raises SeedError where the old lines are not there exactly once."""
        lines, old = text.split("\n"), self.old.rstrip("\n").split("\n")
        places = [
            place for place in range(len(lines)) if _indentation(lines[place : place + len(old)], old) is not None
        ]
        if len(places) != 1:
            raise SeedError(
                f"{self.name}: its old lines are {len(places)} times in {self.file}, and must be there once"
            )
        [place] = places
        there = lines[place : place + len(old)]
        new = textwrap.indent(self.new.rstrip("\n"), _indentation(there, old) or "")
        planted = "\n".join([*lines[:place], *([new] if new else []), *lines[place + len(old) :]])
        if planted == text:
            raise SeedError(f"{self.name}: it changes nothing")
        return planted


def _indentation(there: Sequence[str], old: Sequence[str]) -> str | None:
    """Return what `there` is indented by more than `old`; None where it is not `old`."""
    if len(there) != len(old) or not there[0].endswith(old[0]):
        return None
    more = there[0].removesuffix(old[0])
    if more.strip() or list(there) != [more + line if line else line for line in old]:
        return None
    return more


def load(folder: Path = BUGS) -> dict[str, Seed]:
    """Return all seeds by name, file by file. Raises SeedError for one that is not complete, or whose name is taken."""
    seeds: dict[str, Seed] = {}
    for path in sorted(folder.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text()):
            seed = _seed(entry, path)
            if seed.name in seeds:
                raise SeedError(f"{seed.name}: there are two of this name")
            seeds[seed.name] = seed
    return seeds


def _seed(entry: dict[str, Any], path: Path) -> Seed:
    known = {field.name for field in fields(Seed)}
    missing = known - {"fails_with"} - entry.keys()
    if missing or entry.keys() - known:
        names = sorted(missing | (entry.keys() - known))
        raise SeedError(f"{path.name}: {entry.get('name')}: missing or unknown: {', '.join(names)}")
    return Seed(**entry)
