"""`make seeds`: plants each bug in a copy of the project, runs the test that must notice it, and says which were caught.

The stores are started once, for all of them. A run that was interrupted goes on where it was, as long as no file has changed.
"""

import asyncio
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import typer

from devstack.home import ROOT, user_environment
from tests.platforms import new_stack
from tests.seeds.sandbox import Sandbox, project_files
from tests.seeds.seed import Seed, SeedError, load
from tests.seeds.verdict import Verdict, judge

STORES = {"postgres", "redis", "mongodb", "kafka"}
UNPLANTED_SECONDS = 1200.0
PROGRESS = ROOT / ".cartwright" / "seeds.json"


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tree_digest() -> str:
    """Return a digest of all files of the project."""
    digest = hashlib.sha256()
    for name in project_files():
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


class Progress:
    """The verdicts of a run that was interrupted; none where a file has changed since."""

    def __init__(self, digest: str) -> None:
        self._digest = digest
        kept = json.loads(PROGRESS.read_text()) if PROGRESS.exists() else {}
        self.verdicts = {
            name: Verdict(**verdict) for name, verdict in kept.get("verdicts", {}).items() if kept["digest"] == digest
        }

    def add(self, name: str, verdict: Verdict) -> None:
        """Keep a verdict."""
        self.verdicts[name] = verdict
        verdicts = {one: asdict(verdict) for one, verdict in self.verdicts.items()}
        PROGRESS.parent.mkdir(exist_ok=True)
        PROGRESS.write_text(json.dumps({"digest": self._digest, "verdicts": verdicts}))

    def clear(self) -> None:
        """Forget all verdicts: the run has come to its end."""
        PROGRESS.unlink(missing_ok=True)


def drop_databases(urls: Mapping[str, str]) -> None:
    """Drop the databases of tests, so that the next ones are made by the migrations as they are then."""

    async def drop(url: str) -> None:
        connection = await asyncpg.connect(urlunsplit(urlsplit(url)._replace(path="/postgres")))
        try:
            for row in await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE '%\\_tests'"):
                await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
        finally:
            await connection.close()

    asyncio.run(drop(urls["POSTGRES_URL"]))


def failures_unplanted(sandbox: Sandbox, seeds: Iterable[Seed]) -> dict[str, str]:
    """Run the tests of all seeds where nothing is planted, and return those that fail, with the reason of each.

    The failure of such a test would say nothing about a seed.
    """
    tests = sorted({seed.test for seed in seeds})
    say(f"without a bug: {len(tests)} tests …")
    ended, said = sandbox.run(tests, most_seconds=UNPLANTED_SECONDS, compiled=True)
    if not any(one.phase == "call" for one in ended):
        raise SeedError(f"without any bug nothing was run:\n{said[-2000:]}")
    failed = {one.test: one.text for one in ended if one.errors}
    for test, text in failed.items():
        say(f"without a bug {test} fails: {text}")
    return {
        test: text for test in tests for node, text in failed.items() if node == test or node.startswith(f"{test}[")
    }


def try_seed(sandbox: Sandbox, seed: Seed, urls: Mapping[str, str], failing: Mapping[str, str]) -> Verdict:
    """Plant a seed, run its test, and return the verdict. `failing` are the tests that fail without it."""
    if seed.test in failing:
        return Verdict(caught=False, how=f"its test fails without it: {failing[seed.test]}")
    schema = seed.file.endswith(".sql")
    if schema:
        drop_databases(urls)
    try:
        with sandbox.planted(seed):
            ended, _ = sandbox.run([seed.test])
        return judge(ended, seed.fails_with)
    except SeedError as error:
        return Verdict(caught=False, how=f"no longer applies: {error}")
    finally:
        if schema:
            drop_databases(urls)


def table(seeds: Iterable[Seed], verdicts: Mapping[str, Verdict]) -> Iterable[str]:
    """Yield the lines of the table of verdicts."""
    for seed in seeds:
        verdict = verdicts[seed.name]
        mark, why = ("caught", "") if verdict.caught else ("NOT CAUGHT", f"  {verdict.how}")
        yield f"{mark:10}  {seed.name:48}  {seed.rule:58}  {seed.test.rpartition('/')[2]}{why}"


def main(seed: Annotated[str, typer.Option(help="the name of one seed; all without it")] = "") -> None:
    """Plant each seed, and exit with 1 where one is not caught."""
    every = load()
    if seed and seed not in every:
        raise typer.BadParameter(f"there is no seed {seed}; there are: {', '.join(every)}")
    wanted = [every[seed]] if seed else list(every.values())
    progress = Progress(tree_digest())
    left = [one for one in wanted if seed or one.name not in progress.verdicts]
    started = time.monotonic()
    if len(left) < len(wanted):
        say(f"an earlier run was interrupted: {len(wanted) - len(left)} are done, {len(left)} are left")
    with tempfile.TemporaryDirectory(prefix="seeds-") as folder, new_stack("seeds", only=STORES) as stack:
        urls = stack.env()
        sandbox = Sandbox(Path(folder) / "copy", user_environment() | urls)
        failing = failures_unplanted(sandbox, left)
        for number, one in enumerate(left, len(wanted) - len(left) + 1):
            began = time.monotonic()
            verdict = try_seed(sandbox, one, urls, failing)
            progress.add(one.name, verdict)
            mark = "caught" if verdict.caught else "NOT CAUGHT"
            took = time.monotonic() - began
            say(f"{number:3} of {len(wanted)}  {took:4.0f} s  {mark}  {one.name}: {verdict.how[:110]}")
    verdicts = progress.verdicts
    caught = sum(verdicts[one.name].caught for one in wanted)
    if not seed:
        progress.clear()
        say("")
        for line in table(wanted, verdicts):
            say(line)
    say(f"caught {caught} of {len(wanted)} in {time.monotonic() - started:.0f} s")
    raise typer.Exit(0 if caught == len(wanted) else 1)


if __name__ == "__main__":
    try:
        typer.run(main)
    except SeedError as error:
        sys.exit(f"error: {error}")
