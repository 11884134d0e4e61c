"""The faults of the torture at the cart's stores: one that is told as carried out was."""

import asyncio
import signal
import sys

import pytest

from devstack.home import ROOT
from tests.torture.orders import Desk, Order
from tests.torture.points import Fault

POINTS = {"redis": "cart redis SET", "mongo": "cart mongo find"}
URLS = {"redis": "REDIS_URL", "mongo": "MONGODB_URL"}
pytestmark = pytest.mark.real


@pytest.fixture
def one_call(stores, tmp_path, user_id):
    """Let a process make one call to a store with a fault; give its exit code, what its caller got, and whether the fault was told as carried out."""

    async def one_call(store, fault):
        desk, orders = Desk(tmp_path), [Order(POINTS[store], fault)]
        number = desk.give(orders, stores={}, pauses={})
        words = ["-m", "tests.torture.one_call", str(tmp_path), store, stores[URLS[store]], str(user_id)]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        return process.returncode, said.decode().strip(), desk.struck(number, orders) == [True]

    return one_call


@pytest.mark.parametrize(
    ("fault", "was_done"), [(Fault.REFUSED, False), (Fault.LOST, True), (Fault.KILLED_AFTER, True)]
)
async def test_a_command_to_redis(one_call, redis, user_id, fault, was_done) -> None:
    """A command that is refused is not carried out; one whose reply is lost, or whose sender dies after it, is."""
    code, said, struck = await one_call("redis", fault)
    assert (code, said) == ((-signal.SIGKILL, "") if fault is Fault.KILLED_AFTER else (0, "ConnectionError"))
    assert struck
    assert (await redis.get(f"torture:{user_id}") == "here") is was_done


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST, Fault.KILLED_AFTER])
async def test_a_command_to_mongodb(one_call, fault) -> None:
    """The driver reads a cart again where its connection breaks, once; whoever is killed dies."""
    code, said, struck = await one_call("mongo", fault)
    assert (code, said) == ((-signal.SIGKILL, "") if fault is Fault.KILLED_AFTER else (0, "answered"))
    assert struck


async def test_what_does_not_strike_is_not_told(one_call) -> None:
    """A fault that no hook carries out at a call is not told as carried out."""
    assert await one_call("redis", Fault.DUPLICATED) == (0, "answered", False)
