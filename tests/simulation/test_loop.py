"""The event loop of the simulation: virtual time, drawn order, processes that die and sleep."""

import asyncio

import pytest

from tests.simulation.loop import Process, SimLoop, Stuck, running


@pytest.fixture
def loop():
    """A loop that is the running one."""
    loop = SimLoop(1)
    with running(loop):
        yield loop


def ended(loop):
    """Run until nothing is left to run."""
    with pytest.raises(Stuck):
        loop.run()


def test_time_is_virtual(loop):
    """An hour of sleep takes no time, and everything due before it runs before it."""
    seen = []

    async def sleep(seconds):
        await asyncio.sleep(seconds)
        seen.append((seconds, loop.time()))

    for seconds in (3600, 5, 0.5):
        loop.spawn(Process("p"), sleep(seconds))
    ended(loop)
    assert seen == [(0.5, 0.5), (5, 5.0), (3600, 3600.0)]


def test_asyncio_works_on_it(loop):
    """Timeouts, groups, locks and queues of asyncio do what they do elsewhere."""
    seen = []

    async def work():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.Event().wait()
        queue = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.put(loop.time()))
            seen.append(await queue.get())

    loop.spawn(Process("p"), work())
    ended(loop)
    assert seen == [2.0]


def test_a_killed_process_does_nothing_more(loop):
    """Not even its `finally` blocks run, as after SIGKILL."""
    seen = []
    process = Process("victim")

    async def work():
        try:
            seen.append("began")
            await asyncio.sleep(10)
        finally:
            seen.append("cleaned up")

    loop.spawn(process, work())
    loop.at(loop.world, 5, loop.kill, process)
    ended(loop)
    assert seen == ["began"]
    for task in loop.tasks:
        task.discard()


def test_a_paused_process_does_later_what_came_meanwhile(loop):
    """Its timers and its messages wait until it goes on."""
    seen = []
    process = Process("sleeper")

    async def work():
        await asyncio.sleep(1)
        seen.append(loop.time())

    loop.spawn(process, work())
    loop.at(loop.world, 0.5, loop.pause, process)
    loop.at(loop.world, 30, loop.resume, process)
    ended(loop)
    assert seen == [30.0]


async def fail():
    """Fail as nobody foresaw."""
    raise KeyError("unforeseen")


@pytest.mark.parametrize(("killed", "asked", "told"), [(False, False, ["p"]), (True, False, []), (False, True, [])])
def test_a_task_that_failed_unasked_is_told_of(loop, killed, asked, told):
    """It is told of with its process; not where somebody has asked for its result, or where its process was killed."""
    process, seen = Process("p"), []
    loop.unexpected = lambda process, _: seen.append(process.name)
    task = loop.spawn(process, fail())
    ended(loop)
    if killed:
        loop.kill(process)
    if asked:
        task.exception()
    loop.tell_failed()
    assert seen == told


def test_what_the_exception_handler_is_told_is_of_the_process_that_runs(loop):
    """The services tell it what no request may be there to hear of."""
    seen = []
    loop.unexpected = lambda process, told: seen.append((process.name, told["message"]))

    async def work():
        asyncio.get_running_loop().call_exception_handler({"message": "a claim failed unexpectedly"})

    loop.spawn(Process("p"), work())
    ended(loop)
    assert seen == [("p", "a claim failed unexpectedly")]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_processes_is_a_function_of_the_seed(seed):
    """The same seed gives the same order; each process keeps its own."""

    def order():
        loop, seen = SimLoop(seed), []
        with running(loop):

            async def work(name):
                for number in range(5):
                    seen.append((name, number))
                    await asyncio.sleep(0)

            for name in "abc":
                loop.spawn(Process(name), work(name))
            ended(loop)
        return seen

    assert order() == order()
    assert [number for name, number in order() if name == "a"] == list(range(5))
