"""Brings the programs that a machine lacks into the cache, each held to its checksum."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from devstack import network
from devstack.home import ROOT, NotWritable, cache, writing

TOOLS = ROOT / "devstack" / "tools"
KAFKA = "org.apache.kafka:kafka_2.13:4.1.0+org.slf4j:slf4j-simple:1.7.36"
MONGODB = "de.bwaldvogel:mongo-java-server-memory-backend:1.47.0"
ECJ = "org.eclipse.jdt:ecj:3.43.0"
COORDINATES = {"kafka": KAFKA, "mongodb": MONGODB, "ecj": ECJ}

Say = Callable[[str], None]


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
            say(f"fetching {lock.read_text().split(maxsplit=1)[0]}")
            _run([*command, "--target", str(folder)], env, what=name)

        into(target, install, say)
    return target


def jars(name: str, env: Mapping[str, str], say: Say) -> Path:
    """Return the folder of the jars of `devstack/tools/<name>.sha256`; fetch them where missing."""
    sums = TOOLS / f"{name}.sha256"
    target = place(name, sums, env)
    if not target.exists():

        def resolve(folder: Path) -> None:
            resolver = tool("maven", env, say)
            say(f"fetching {COORDINATES[name].split('+', maxsplit=1)[0]} and what it needs")
            _resolve(COORDINATES[name], sums, resolver, folder, env)

        into(target, resolve, say)
    return target


def _resolve(coordinates: str, sums: Path, resolver: Path, folder: Path, env: Mapping[str, str]) -> None:
    work = folder / "work"
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
    _run(command, {**env, "PYTHONPATH": str(resolver)}, what=coordinates)
    found = {path.name: path for path in (work / "envs").rglob("*.jar")}
    for line in sums.read_text().splitlines():
        checksum, name = line.split()
        if name not in found:
            raise CannotFetch(f"{name} did not come with {coordinates}; run it again")
        if hashlib.sha256(found[name].read_bytes()).hexdigest() != checksum:
            raise CannotFetch(f"{name} is not the file that {sums.name} names; nothing of it is used")
        shutil.copyfile(found[name], folder / name)
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


def _run(command: list[str], env: Mapping[str, str], *, what: str) -> None:
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotFetch(f"{what} could not be fetched: {network.reason(done.stdout + done.stderr)}")


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
