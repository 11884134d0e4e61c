"""Brings the programs that a machine lacks into the cache, each held to its checksum."""

import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from devstack import network, progress
from devstack.home import ROOT, NotWritable, cache, writing
from devstack.progress import Done, Say

TOOLS = ROOT / "devstack" / "tools"
KAFKA = "org.apache.kafka:kafka_2.13:4.1.0+org.slf4j:slf4j-simple:1.7.36"
KAFKA_TOOLS = "org.apache.kafka:kafka-tools:4.1.0"
MONGODB = "de.bwaldvogel:mongo-java-server-memory-backend:1.47.0"
ECJ = "org.eclipse.jdt:ecj:3.43.0"
COORDINATES = {"kafka": KAFKA, "kafka-tools": KAFKA_TOOLS, "mongodb": MONGODB, "ecj": ECJ}

_DOWNLOADING = re.compile(r"Downloading (\S+) \(([\d.]+) ([kMG])B\)")
_MB = {"k": 0.001, "M": 1.0, "G": 1000.0}
"""pip's units, in millions of bytes."""


class CannotFetch(Exception):
    """A program could not be fetched; `str()` says which, why, and what to do."""


def tool(name: str, env: Mapping[str, str], say: Say) -> Path:
    """Return the folder where the Python package of `devstack/tools/<name>.txt` is installed; install it where missing."""
    lock = TOOLS / f"{name}.txt"
    target = place(name, lock, env)
    if not target.exists():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--progress-bar=off",
            "--no-deps",
            "--require-hashes",
            "-r",
            str(lock),
        ]

        def install(folder: Path) -> None:
            with progress.step(say, name, "fetching") as at, tempfile.TemporaryDirectory(dir=folder.parent) as work:
                # pip downloads into TMPDIR, and writes as it goes only if it is told to.
                told = {**env, "TMPDIR": work, "PYTHONUNBUFFERED": "1"}

                def look(said: str) -> None:
                    at(_downloaded(said, Path(work)))

                _run([*command, "--target", str(folder)], told, look, what=name)

        into(target, install, say)
    return target


def _downloaded(said: str, work: Path) -> Done:
    """Return how much pip has downloaded into its folder, by what it has said so far."""
    if "Installing collected packages" in said:
        return Done(detail="unpacking")
    if not (found := _DOWNLOADING.findall(said)):
        return Done()
    _, size, unit = found[-1]
    return Done(_size(work) / 1e6, float(size) * _MB[unit], "MB")


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder; files that vanish meanwhile do not count."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def jars(name: str, env: Mapping[str, str], say: Say) -> Path:
    """Return the folder of the jars of `devstack/tools/<name>.sha256`; fetch them where missing."""
    sums = TOOLS / f"{name}.sha256"
    target = place(name, sums, env)
    if not target.exists():

        def resolve(folder: Path) -> None:
            resolver = tool("maven", env, say)
            with progress.step(say, name, "fetching") as at:
                _resolve(name, resolver, folder, env, at)

        into(target, resolve, say)
    return target


def _resolve(name: str, resolver: Path, folder: Path, env: Mapping[str, str], at: Callable[[Done], None]) -> None:
    coordinates, sums = COORDINATES[name], TOOLS / f"{name}.sha256"
    work = folder / "work"
    wanted = sums.read_text().splitlines()

    def look(_: str) -> None:
        there = sum(1 for _ in (work / "repo").rglob("*.jar"))
        at(Done(there, len(wanted) if len(wanted) > 1 else None, "files", coordinates.split("+", maxsplit=1)[0]))

    command = [
        sys.executable,
        "-m",
        "jgo",
        "--ignore-config",
        "--resolver",
        "python",
        "--cache-dir",
        str(work / "envs"),
    ]
    command += ["--repo-cache", str(work / "repo"), "info", "classpath", coordinates]
    _run(command, {**env, "PYTHONPATH": str(resolver)}, look, what=coordinates)
    found = {path.name: path for path in (work / "envs").rglob("*.jar")}
    for line in wanted:
        checksum, jar = line.split()
        if jar not in found:
            raise CannotFetch(f"{jar} did not come with {coordinates}; run it again")
        if hashlib.sha256(found[jar].read_bytes()).hexdigest() != checksum:
            raise CannotFetch(f"{jar} is not the file that {sums.name} names; nothing of it is used")
        shutil.copyfile(found[jar], folder / jar)
    shutil.rmtree(work)


def into(target: Path, fill: Callable[[Path], None], say: Say) -> None:
    """Make the folder `target`, unless another process does so meanwhile: then say so, and wait for it.

    `fill` fills a folder beside it, which is renamed once it is whole, so that an interrupted fetch leaves nothing.
    """
    try:
        with writing(
            target.parent, "make that folder writable, or choose another: XDG_CACHE_HOME=/path/to/folder make up"
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = (target.parent / f".{target.name}.lock").open("w")
    except NotWritable as error:
        raise CannotFetch(str(error)) from error
    with lock:
        _acquire(lock, target.name, say)
        if target.exists():
            return
        for left in target.parent.glob(f".{target.name}-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as path:
            folder = Path(path) / "whole"
            folder.mkdir()
            fill(folder)
            folder.rename(target)


def _acquire(lock: IO[str], name: str, say: Say) -> None:
    """Wait until no other process has the lock. It ends with the process, however that ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another process that makes {name}")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _run(command: list[str], env: Mapping[str, str], look: Callable[[str], None], *, what: str) -> None:
    code, said = progress.run(command, env, look)
    if code:
        raise CannotFetch(f"{what} could not be fetched: {network.reason(said)}")


def place(name: str, lock: Path, env: Mapping[str, str]) -> Path:
    """Return the folder in the cache of what this lock file pins."""
    return cache_folder(env) / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"


def on_path(name: str, env: Mapping[str, str]) -> Path | None:
    """Return a program of the user's own, or None."""
    if env.get("DEVSTACK_IGNORE_PATH") == "1":
        return None
    found = shutil.which(name, path=env.get("PATH"))
    return Path(found) if found else None


def cache_folder(env: Mapping[str, str]) -> Path:
    """Return the cache; for root one that the unprivileged user of the database can reach."""
    return Path("/var/cache/cartwright") if os.geteuid() == 0 and "XDG_CACHE_HOME" not in env else cache(env)
