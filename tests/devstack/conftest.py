"""The command line as a person at a terminal has it, with a home of its own."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from devstack import cli
from devstack.client import Stack
from devstack.environment import PRINTED_BY, STORE_URLS
from devstack.home import ROOT, Home, user_environment

OWN = (*STORE_URLS, PRINTED_BY, "CLUSTER")
"""What would lead a test to stores or a cluster of the user's own."""


@dataclass(frozen=True)
class Seen:
    """What a person sees of a command."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def home(request):
    """A home of its own for a stack, which is ended after the test."""
    home = Home(ROOT / ".cartwright" / request.node.name.translate(str.maketrans("[]- ", "____")))
    yield home
    Stack(home).down()


@pytest.fixture
def terminal(home) -> Callable[..., Seen]:
    """Run the command line in a process of its own, with free ports and what is given."""

    def terminal(*words: str, **env: str) -> Seen:
        plain = {name: value for name, value in user_environment().items() if name not in OWN}
        done = subprocess.run(
            [sys.executable, "-m", "devstack", *words],
            cwd=ROOT,
            env=plain | {"DEVSTACK_HOME": str(home.path), "DEVSTACK_PORTS": "free"} | env,
            capture_output=True,
            text=True,
            check=False,
        )
        return Seen(done.returncode, done.stdout, done.stderr)

    return terminal


@pytest.fixture
def refused(home) -> Callable[..., str]:
    """Run a command that must fail, within this process, which is quicker; give what a person sees."""

    def refused(*words: str, **env: str) -> str:
        given = {"DEVSTACK_HOME": str(home.path), "DEVSTACK_PORTS": "free"} | env
        done = CliRunner(env=dict.fromkeys(OWN) | given).invoke(cli.app, words)
        assert isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == 1
        return done.stdout + done.stderr

    return refused
