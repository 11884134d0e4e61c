"""A connection ends when its process drains or stops, when it is old or idle, and after what should not happen."""

import asyncio

import pytest

from tests.services.chassis.held import bodies, fast, settle, slow
from tests.wire import Wire


async def test_a_draining_process_ends_connections(place, server):
    """While draining, the answer of a plain read says that the connection closes, and it does."""
    wire = Wire(server)
    wire.receive(fast(1))
    assert "Connection" not in (await wire.answers())[0].headers
    place.readiness.state = "draining"
    wire.receive(fast(2), fast(3))
    answers = await wire.answers(3)
    assert (bodies(answers), answers[1].headers["Connection"], wire.closed) == ([1, 2], "close", True)


async def test_an_old_connection_ends(place, server):
    """The age of a connection counts from its first request, whoever answers it, and a plain read can be the last one."""
    wire = Wire(server)
    wire.receive(slow(1))
    await wire.answers(1)
    place.now = 4.9
    wire.receive(fast(2))
    assert "Connection" not in (await wire.answers(2))[1].headers
    place.now = 10.0
    wire.receive(fast(3))
    assert ((await wire.answers(3))[2].headers["Connection"], wire.closed) == ("close", True)


@pytest.mark.parametrize(
    ("request_", "state"),
    [(slow(1), "draining"), (slow(1, b"Connection: close\r\n"), "serving"), (b"BAD\r\n\r\n", "serving")],
)
async def test_nothing_is_answered_after_the_last_answer(place, server, request_, state):
    """Once an answer of aiohttp ends the connection, a plain read behind it is not begun."""
    place.readiness.state = state
    wire = Wire(server)
    wire.on_write = lambda: asyncio.get_running_loop().call_soon(wire.receive, fast(2))  # before it is closed
    wire.receive(request_)
    await wire.answers()
    await settle()
    assert (wire.closed, len(wire.read()), ("PlainRead", 2) in place.begun) == (True, 1, False)


async def test_a_stop_waits_for_the_read_under_way(place, runner):
    """A process that stops answers what it has begun, then closes the connection, and begins nothing more."""
    place.hold(1)
    wire = Wire(runner.server)
    wire.receive(fast(1))
    await place.reached(1)
    stopping = asyncio.create_task(runner.cleanup())
    await settle()
    wire.receive(fast(2))
    assert (stopping.done(), wire.closed) == (False, False)
    place.gates[1].set()
    await stopping
    assert (bodies(wire.read()), wire.read()[0].headers["Connection"], wire.closed) == ([1], "close", True)
    assert place.begun == [("PlainRead", 1)]


async def test_a_stop_does_not_wait_for_ever(place):
    """A read that does not end in time ends with its connection."""
    place.hold(1)
    async with place.runner(shutdown_timeout=0.01) as runner:
        wire = Wire(runner.server)
        wire.receive(fast(1))
        await place.reached(1)
        await runner.cleanup()
        await settle()
        assert (wire.closed, wire.read(), wire.protocol.is_busy) == (True, [], False)


@pytest.mark.parametrize("before", [[], [fast(1)], [slow(1)], [fast(1), slow(2)], [b"GET "]])
async def test_an_idle_connection_is_closed(place, before):
    """A connection on which nothing happens is closed, whatever came before."""
    async with place.runner(idle_seconds=0.02) as runner:
        wire = Wire(runner.server)
        wire.receive(*before)
        async with asyncio.timeout(10):
            while not wire.closed:
                wire.changed.clear()
                await wire.changed.wait()
        assert len(wire.read()) == sum(one.endswith((b"body", b"\r\n\r\n")) for one in before)


@pytest.mark.parametrize("request_", [fast(1), slow(1)])
async def test_a_connection_is_not_idle_while_it_waits_for_an_answer(place, request_):
    """However long an answer takes, its connection stays, and is idle only some time after it."""
    place.hold(1)
    async with place.runner(idle_seconds=3600.0) as runner:
        wire = Wire(runner.server)
        wire.receive(request_)
        await place.reached(1)
        for closed in (False, True):
            wire.protocol._active_at -= 3601
            wire.protocol._close_if_idle()
            assert wire.closed is closed
            if not closed:
                place.gates[1].set()
                await wire.answers()
                await settle()
                wire.protocol._close_if_idle()
                assert not wire.closed


async def test_aiohttp_closes_no_connection(server):
    """The limit of aiohttp on idle connections, which does not count plain reads, closes none."""
    assert Wire(server).protocol.keepalive_timeout > 10**9


async def test_a_read_that_fails_ends_its_connection(place, caplog):
    """What should not happen is logged, and its client sees the connection end."""

    async def broken(_):
        raise RuntimeError("x")

    async with place.runner(answer=broken) as runner:
        wire = Wire(runner.server)
        wire.receive(fast(1))
        assert (await wire.answers(), wire.closed) == ([], True)
        assert [record.message for record in caplog.records] == ["unexpected failure"]
        assert caplog.records[0].exc_info
