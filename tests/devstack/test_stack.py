"""Stacks of real parts: what survives, what is said, and what is left behind."""

import json
import signal
import subprocess
import sys

import bson
import psutil
import pymongo
import pytest

from devstack.client import Stack
from devstack.home import ROOT, user_environment

pytestmark = pytest.mark.real

OURS = {"DEVSTACK_IGNORE_PATH": "1"}
"""The server that is fetched, even where the machine has a mongod."""


def test_acknowledged_carts_survive_a_kill(home, eventually) -> None:
    """What was acknowledged is all there after the server is killed, and after it is killed again: inserts, changes and indexes."""
    stack = Stack.up(home.path, only={"mongodb"}, env=OURS)
    with pymongo.MongoClient(stack.env()["MONGODB_URL"]) as client:
        client.drop_database("t")  # a run before may have left it
        carts = client["t"].get_collection("carts", write_concern=pymongo.WriteConcern(w="majority", j=True))
        carts.create_index("user", unique=True)
        for number in range(1000):
            carts.insert_one({"_id": number, "user": number, "version": 1})
        with pytest.raises(pymongo.errors.DuplicateKeyError):
            carts.insert_one({"_id": 1000, "user": 0})
        assert carts.update_many({"user": {"$lt": 10}}, {"$set": {"version": 2}}).modified_count == 10
        assert carts.delete_many({"user": {"$gte": 990}}).deleted_count == 10
    for times in (1, 2):
        stack.kill("mongodb")
        eventually(lambda times=times: stack.row("mongodb")["restarts"] == times)
        stack.wait_ready("mongodb")
        with pymongo.MongoClient(stack.env()["MONGODB_URL"]) as client:
            carts = client["t"]["carts"]
            assert carts.count_documents({}) == 990
            assert carts.count_documents({"version": 2}) == 10
            with pytest.raises(pymongo.errors.DuplicateKeyError):
                carts.insert_one({"user": 0})
    stack.down()


def test_a_record_cut_short_was_never_acknowledged(home) -> None:
    """A server that was killed while it wrote its journal starts with what it had acknowledged."""
    stack = Stack.up(home.path, only={"mongodb"}, env=OURS)
    with pymongo.MongoClient(stack.env()["MONGODB_URL"]) as client:
        client.drop_database("t")
        client["t"]["carts"].insert_many([{"_id": 1}, {"_id": 2}])
    stack.down()
    with (home.data("mongodb") / "journal.bson").open("ab") as journal:
        journal.write(b"\0\0\1\0 the rest never came")
    stack = Stack.up(home.path, only={"mongodb"}, env=OURS)
    with pymongo.MongoClient(stack.env()["MONGODB_URL"]) as client:
        assert client["t"]["carts"].count_documents({}) == 2
    stack.down()


def test_a_cart_is_found_by_an_index(home) -> None:
    """The local server has an index for each query of the cart service: by user, and by user and version."""
    stack = Stack.up(home.path, only={"mongodb"}, env=OURS)
    with pymongo.MongoClient(stack.env()["MONGODB_URL"]) as client:
        assert "user_id_1_version_1" in client["cartdb"]["carts"].index_information()
    stack.down()


def test_the_journal_is_carried_out_with_the_index(home) -> None:
    """A start has the index before it carries the journal out: without it each write there looks at every cart, for minutes.

    Shown by a journal that no server has written: of two carts with one user and version the index refuses the second.
    """
    stack = Stack.up(home.path, only={"mongodb"}, env=OURS)
    stack.down()
    with (home.data("mongodb") / "journal.bson").open("wb") as journal:
        for number in (1, 2):
            cart = {"_id": f"twice-{number}", "user_id": 7, "version": 1}
            record = bson.encode({"insert": "carts", "documents": [cart], "$db": "cartdb"})
            journal.write(len(record).to_bytes(4, "big") + record)
    stack = Stack.up(home.path, only={"mongodb"}, env=OURS)
    with pymongo.MongoClient(stack.env()["MONGODB_URL"]) as client:
        assert [cart["_id"] for cart in client["cartdb"]["carts"].find({"user_id": 7})] == ["twice-1"]
        client["cartdb"]["carts"].delete_many({"user_id": 7})
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


def heed_interrupts() -> None:
    """Take Ctrl-C as a command in a terminal does: what a shell has put into the background ignores it, and so would this."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.timeout(240)
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
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - no other thread runs here
    ) as up:
        assert up.stdout is not None
        for line in up.stdout:
            if "starting" in line:
                break
        up.send_signal(signal.SIGINT)
        _, said = up.communicate(timeout=180)  # while all tests run at once, stores take long to end
    assert (up.returncode, "nothing is left running" in said) == (130, True)
    assert not home.state.exists()
