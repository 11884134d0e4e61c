"""Runs pytest in a process that has the libraries already: to import them takes longer than most of the tests.

None of our own modules is among them: those are imported anew in each process, out of the folder that it runs in.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

LIBRARIES = (
    "aiohttp.web",
    "aiokafka",
    "asyncpg",
    "grpc.aio",
    "hypothesis",
    "jwt",
    "kopf",
    "kubernetes",
    "motor.motor_asyncio",
    "pydantic_settings",
    "redis.asyncio",
    "requests",
    "stamina",
    "structlog",
    "uvloop",
)
OURS = frozenset({"checkout_operator", "devstack", "services", "tests"})


def preload() -> None:
    """Import the libraries. No process may be forked that has begun threads, and none of these begins one."""
    for name in LIBRARIES:
        importlib.import_module(name)


def run(folder: Path, arguments: Sequence[str], env: Mapping[str, str], output: Path, seconds: float) -> int | None:
    """Run pytest in `folder`, with what it prints in `output`, and return its exit code; None where it took too long."""
    pid = os.fork()
    if pid == 0:
        os._exit(_child(folder, arguments, env, output))
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _child(folder: Path, arguments: Sequence[str], env: Mapping[str, str], output: Path) -> int:
    """Become a process that was started in `folder`, and run pytest."""
    os.setsid()
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()  # noqa: TID251 - this is another process
    os.environ.update(env)  # noqa: TID251
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [str(folder), *(path for path in sys.path if path not in {"", str(Path(__file__).parents[2])})]
    sys.path_importer_cache.clear()
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in env
    try:
        return int(pytest.main([*arguments]))
    except BaseException as error:  # noqa: BLE001 - the end of the process, which says why
        os.write(2, f"ERROR {error!r}\n".encode())
        return 3
