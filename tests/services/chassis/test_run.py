"""How a process comes up beside others that may not be there yet, how it goes on, and how it says why it ends."""

import asyncio
import gc
import logging
from contextlib import contextmanager

import pytest
import structlog
from aiohttp import web as aiohttp_web

from services.chassis import rpc, run, web
from services.chassis.env import BadSettings, Settings
from services.chassis.logs import set_up
from services.chassis.run import Runtime
from services.chassis.telemetry import Metrics
from services.errors import Unavailable

SETTINGS = {"LISTEN_HOST": "127.0.0.1", "DRAIN_DELAY": "0s", "DRAIN_TIMEOUT": "1s"}


class Dependency:
    """A part that is there, or not."""

    def __init__(self):
        self.there, self.asked = asyncio.Event(), asyncio.Event()

    async def check(self):
        self.asked.set()
        return "ok" if self.there.is_set() else "does not answer"


@pytest.fixture
def dependency():
    return Dependency()


@pytest.fixture
def collector_kept():
    """Give the garbage collector of the tests back, whatever a process sets."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture(params=["grpc", "http"])
async def process(request, dependency, collector_kept):
    """A process that comes up, and its runtime."""
    runtime = Runtime("test", "serve", {})
    settings, checks = Settings.from_env(SETTINGS), {"store": dependency.check}
    serving = {
        "grpc": lambda: runtime.serve(settings, {}, checks),
        "http": lambda: runtime.serve_http(settings, aiohttp_web.Application(), checks),
    }
    task = asyncio.create_task(serving[request.param]())
    yield runtime
    runtime.stopping.set()
    await task


async def until(runtime, state):
    """Wait for a state; the test's own deadline bounds it."""
    while runtime.readiness.state != state:  # noqa: ASYNC110 - a page's state, which tells nobody of its changes
        await asyncio.sleep(0.01)


async def test_it_serves_once_its_dependencies_are_there(process, dependency):
    """It is not ready while a dependency is away, and is as soon as that is there."""
    await dependency.asked.wait()
    assert process.readiness.state == "starting"
    dependency.there.set()
    await until(process, "serving")


@pytest.fixture
def impatient(monkeypatch):
    """Have it wait for a moment only."""
    monkeypatch.setattr(run, "WARM_SECONDS", 0.1)


async def test_it_serves_without_what_stays_away(impatient, process, dependency):
    """A dependency that stays away keeps it from nothing: it serves after a while."""
    await until(process, "serving")
    assert not dependency.there.is_set()


async def test_told_to_end_it_does_not_wait(process, dependency):
    """Told to end while it waits, it ends."""
    await dependency.asked.wait()
    process.stopping.set()
    await until(process, "draining")


async def test_a_process_that_serves_collects_garbage_seldom(process, dependency):
    """What is there when a process begins to serve is never looked at again, and a collection waits for much that is new."""
    dependency.there.set()
    await until(process, "serving")
    assert gc.get_threshold()[0] == run.GC_THRESHOLD
    assert gc.get_freeze_count() > 0


async def test_a_worker_collects_garbage_seldom(collector_kept):
    """The same holds for a process that works and serves nothing."""
    seen = []

    async def loop(_):
        seen.append((gc.get_threshold()[0], gc.get_freeze_count() > 0))

    await Runtime("test", "worker", {}).work(Settings.from_env(SETTINGS | {"HTTP_PORT": "0"}), loop, {})
    assert seen == [(run.GC_THRESHOLD, True)]


@contextmanager
def structlog_kept():
    """Give the log of the tests back, and that of the libraries, whatever a process sets up."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.configure(**before)


WHY = [
    (BadSettings("A: is not set\nB: is wrong"), 2, ["test: A: is not set", "test: B: is wrong"], 0),
    (Unavailable("Kafka does not answer"), 1, ["test: Unavailable: Kafka does not answer"], 0),
    (TimeoutError(), 1, ["test: TimeoutError"], 1),
    (OSError(5, "bad disk"), 1, ["test: OSError: [Errno 5] bad disk"], 1),
    (ValueError("no\nnumber"), 1, ["test: ValueError: no number"], 1),
    (KeyError(), 1, ["test: KeyError"], 1),
    (ExceptionGroup("tasks", [TimeoutError(), KeyError("x")]), 1, ["test: TimeoutError; KeyError: 'x'"], 1),
]


@pytest.mark.parametrize(("error", "code", "lines", "logged"), WHY, ids=lambda value: repr(value)[:30])
def test_every_end_says_why(capfdbinary, error, code, lines, logged):
    """A process that fails says why on the standard error, in a line; an unexpected failure is also logged in full."""

    async def role(_):
        raise error

    with structlog_kept(), pytest.raises(SystemExit) as ended:
        run.run("test", {"serve": role}, [])
    out, err = capfdbinary.readouterr()
    assert (ended.value.code, err.decode().splitlines()) == (code, lines)
    assert out.count(b'"unexpected failure"') == logged
    assert out.count(b'"exception"') == logged


async def test_a_port_that_is_taken_is_said_in_a_line(unused_tcp_port):
    """Who cannot listen says where, as an expected failure to start."""
    first = await web.start(aiohttp_web.Application(), "127.0.0.1", unused_tcp_port, Metrics(), drain=0)
    with pytest.raises(web.CannotListen, match=f"127.0.0.1:{unused_tcp_port}"):
        await web.start(aiohttp_web.Application(), "127.0.0.1", unused_tcp_port, Metrics(), drain=0)
    server = rpc.Server(structlog.get_logger(), Metrics(), reflect=False)
    with pytest.raises(web.CannotListen, match=f"127.0.0.1:{unused_tcp_port}"):
        await server.start(f"127.0.0.1:{unused_tcp_port}", {})
    await first.cleanup()


async def test_a_loop_goes_on_after_an_unexpected_failure():
    """A round that fails is reported and does not end the worker: the next round comes."""
    stopping, metrics, rounds = asyncio.Event(), Metrics(), []

    async def round_of_work():
        rounds.append(1)
        if len(rounds) == 3:
            stopping.set()
            return 1
        raise (TimeoutError(), Unavailable("away"))[len(rounds) - 1]

    log = structlog.get_logger()
    await asyncio.wait_for(run.repeat(round_of_work, stopping, log, metrics, least=0.001, most=0.001), 10)
    assert len(rounds) == 3
    where = {"where": round_of_work.__qualname__}
    assert metrics.registry.get_sample_value("cartwright_internal_errors_total", where) == 1


async def test_a_loop_rests_after_a_round_that_did_something(monkeypatch):
    """It pauses for `rest` after such a round, and for longer and longer while there is nothing to do."""
    stopping, pauses, done = asyncio.Event(), [], iter([0, 0, 0, 3, 1, 0])

    async def round_of_work():
        return next(done)

    async def wait(_, seconds):
        pauses.append(seconds)
        if len(pauses) == 6:
            stopping.set()

    monkeypatch.setattr(run, "wait", wait)
    await run.repeat(round_of_work, stopping, structlog.get_logger(), Metrics(), least=1, most=5, rest=0.5)
    assert pauses == [2, 4, 5, 0.5, 0.5, 2]


async def test_a_readiness_check_that_fails_hides_no_other():
    """A dependency whose check fails unexpectedly is shown as such, and the page still has the others."""
    readiness = web.Readiness()

    async def fine():
        return "ok"

    async def broken():
        raise ZeroDivisionError

    readiness.checks |= {"a": broken, "b": fine}
    assert await readiness.missing() == {"a": "cannot be checked"}


def test_what_libraries_log_keeps_its_traceback(capfdbinary):
    """An error that a library logs is one line of ours with its traceback."""
    with structlog_kept():
        set_up("test", "serve", "info")
        try:
            int("x")
        except ValueError:
            logging.getLogger("asyncio").exception("Task exception was never retrieved")
    [line] = capfdbinary.readouterr().out.splitlines()
    assert b"ValueError" in line
    assert b"locals" not in line
