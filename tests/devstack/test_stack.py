"""Stacks of real parts: what survives, what is said, and what is left behind."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pymongo
import pytest

from devstack import ports
from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.table import PARTS, UnknownPart, part

pytestmark = pytest.mark.real


@pytest.fixture
def home(request):
    """A home of its own for a stack, which is ended after the test."""
    home = Home(ROOT / ".cartwright" / request.node.name)
    yield home
    Stack(home).down()


def command(home: Home, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    environment = user_environment() | {"DEVSTACK_HOME": str(home.path)} | env
    return subprocess.run(
        [sys.executable, "-m", "devstack", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_acknowledged_carts_survive_a_kill(home, eventually) -> None:
    """A thousand acknowledged writes are all there after the server is killed."""
    stack = Stack.up(home.path, only={"mongodb"})
    with pymongo.MongoClient(stack.env()["MONGODB_URL"]) as client:
        carts = client["t"].get_collection("carts", write_concern=pymongo.WriteConcern(w="majority", j=True))
        carts.delete_many({})
        for number in range(1000):
            carts.insert_one({"_id": number})
    stack.kill("mongodb")
    eventually(lambda: stack.row("mongodb")["restarts"])
    stack.wait_ready("mongodb")
    with pymongo.MongoClient(stack.env()["MONGODB_URL"]) as client:
        assert client["t"]["carts"].count_documents({}) == 1000
    stack.down()


def test_nothing_is_left_after_down(home) -> None:
    """After down no process of the stack is left, also where its supervisor was killed."""
    stack = Stack.up(home.path, only={"redis"})
    redis = stack.pid("redis")
    supervisor = json.loads(home.state.read_text())["supervisor"][0]
    psutil.Process(int(supervisor)).kill()
    stack._supervisor.wait()
    assert psutil.pid_exists(redis)
    done = command(home, "down")
    assert done.returncode == 0
    assert not psutil.pid_exists(redis) or psutil.Process(redis).status() == psutil.STATUS_ZOMBIE
    assert command(home, "down").stdout.strip() == "it was not running"


def test_a_taken_port_is_named_with_its_holder(home) -> None:
    """A port that another program holds is said before anything starts, with the variable that moves it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        chosen = dict.fromkeys((variable for one in PARTS.values() for variable, _ in one.ports), 0)
        with pytest.raises(ports.PortTaken) as error:
            ports.check([PARTS["gateway"]], chosen | {"GATEWAY_PORT": taken})
    assert str(taken) in str(error.value)
    assert "GATEWAY_PORT=" in str(error.value)
    assert "pid" in str(error.value)


def test_an_interrupt_leaves_nothing(home) -> None:
    """Ctrl-C while the platform starts ends what was started, says so, and exits with 130."""
    environment = user_environment() | {"DEVSTACK_HOME": str(home.path), "DEVSTACK_PORTS": "free"}
    with subprocess.Popen(
        [sys.executable, "-m", "devstack", "up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        for line in up.stdout:
            if "starting" in line:
                break
        up.send_signal(signal.SIGINT)
        _, said = up.communicate(timeout=60)
    assert (up.returncode, "nothing is left running" in said) == (130, True)
    assert not home.state.exists()


def test_an_unknown_part_is_answered_with_the_names(home) -> None:
    """A part that does not exist is answered with those that do."""
    with pytest.raises(UnknownPart, match="gateway"):
        part("gatway")
    done = command(home, "logs", "gatway")
    assert done.returncode == 1
    assert "gateway" in done.stderr


def test_a_store_of_the_users_own_that_is_away(home) -> None:
    """A store that the user names and that does not answer is said at once, by its variable."""
    done = command(home, "up", POSTGRES_URL="postgresql://127.0.0.1:1/x", DEVSTACK_PORTS="free")
    assert done.returncode == 1
    assert "POSTGRES_URL is set, but nothing answers" in done.stderr
    assert not Path(home.state).exists()
