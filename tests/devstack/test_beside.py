"""A command that runs programs beside the platform ends them, however it is itself ended."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from devstack.home import ROOT, user_environment

COMMAND = """
import sys, time
from pathlib import Path
from devstack import beside, cli
from devstack.home import Home

def beside_the_platform(*_, **__):
    sleeper = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    with beside.running("sleeper", sleeper, {}, Home(Path(sys.argv[2]))):
        print("started", flush=True)
        time.sleep(600)

cli.watching.watch = cli.tracing.trace = beside_the_platform
cli.app([sys.argv[1]])
"""


@pytest.mark.parametrize(
    ("command", "number"), [("watch", signal.SIGTERM), ("trace", signal.SIGTERM), ("trace", signal.SIGHUP)]
)
def test_a_command_that_is_ended_ends_what_it_started(command, number, tmp_path, eventually) -> None:
    """`make watch` and `make trace` leave no program behind on SIGTERM (make, CI) or SIGHUP (a closed terminal)."""
    (tmp_path / "logs").mkdir()
    run = [sys.executable, "-c", COMMAND, command, str(tmp_path)]
    env = user_environment() | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(run, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        log = eventually(lambda: next(iter(tmp_path.rglob("sleeper*")), None))
        sleeper = int(eventually(log.read_text))
        os.kill(process.pid, number)
        said, _ = process.communicate(timeout=30)
    assert (said, process.returncode) == ("ended\n", 0)
    assert not psutil.pid_exists(sleeper)
