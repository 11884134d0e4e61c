"""Stacks of real parts: what survives, what is said, and what is left behind."""

import json
import signal
import subprocess
import sys

import psutil
import pymongo
import pytest

from devstack.client import Stack
from devstack.home import ROOT, user_environment

pytestmark = pytest.mark.real


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


def test_nothing_is_left_after_down(home, terminal) -> None:
    """After down no process of the stack is left, also where its supervisor was killed."""
    stack = Stack.up(home.path, only={"redis"})
    redis = stack.pid("redis")
    supervisor = json.loads(home.state.read_text())["supervisor"][0]
    psutil.Process(int(supervisor)).kill()
    stack._supervisor.wait()
    assert psutil.pid_exists(redis)
    done = terminal("down")
    assert done.returncode == 0
    assert not psutil.pid_exists(redis) or psutil.Process(redis).status() == psutil.STATUS_ZOMBIE
    assert terminal("down").stdout.strip() == "it was not running"


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
