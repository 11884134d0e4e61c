"""The load generator against a server that answers as it likes."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from tests.bench import generator
from tests.bench.generator import Generator, Order, asked, written

LATE_SECONDS = 1.5


@asynccontextmanager
async def serving(page: Handler) -> AsyncIterator[int]:
    """Serve a page, and give the port."""
    app = web.Application()
    app.add_routes([web.get("/", page)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Give the port of a server that refuses every third request, closes after every fourth, and breaks off every fifth."""
    numbers = count(1)

    async def page(http: web.Request) -> web.Response:
        number = next(numbers)
        if number % 5 == 0:
            assert http.transport
            http.transport.abort()
        answer = web.Response(text="x" * number, status=503 if number % 3 == 0 else 200)
        if number % 4 == 0:
            answer.force_close()
        return answer

    async with serving(page) as port:
        yield port


class Clock:
    """The generator's clock, which a test can set forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def perf_counter(self) -> float:
        return time.perf_counter() + self.ahead

    process_time = staticmethod(time.process_time)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Give the generator a clock of its own."""
    clock = Clock()
    monkeypatch.setattr(generator, "time", clock)
    return clock


@pytest.fixture
async def late_port(clock) -> AsyncIterator[int]:
    """Give the port of a server whose answers come late by that clock."""

    async def page(_: web.Request) -> web.Response:
        clock.ahead += LATE_SECONDS
        return web.Response(text="late")

    async with serving(page) as port:
        yield port


async def test_every_request_ends_as_what_it_was(port) -> None:
    """Each request is counted once: good, refused, or without an answer; a connection that is gone is made again."""
    seen = await Generator(Order(port, "page", 4, 15)).run()
    assert seen["answers"] == {"page 200": 32, "page 503": 16, "page no answer": 12}
    assert (seen["good"], seen["ended"], seen["times"]["page"]["count"]) == (32, "done", 60)


async def test_a_server_that_is_away_is_told_of(unused_tcp_port_factory) -> None:
    """Where nobody listens every request is without an answer, and the generator ends."""
    seen = await Generator(Order(unused_tcp_port_factory(), "page", 2, 2)).run()
    assert seen["answers"] == {"page no answer": 4}


async def test_an_open_loop_begins_no_more_than_its_rate(port) -> None:
    """An open loop begins what its rate and time allow; what no connection is left for is counted as not sent."""
    seen = await Generator(Order(port, "page", 2, 1, seconds=0.5, rate=100)).run()
    assert 0 < sum(seen["answers"].values()) + seen["not_sent"] <= 50
    assert seen["ended"] == "out of time"


async def test_what_was_good_until_the_time_was_over_counts(port) -> None:
    """A load that is cut off by its time gives every good answer until then, not those of ended scripts alone."""
    seen = await Generator(Order(port, "page", 2, 10**6, seconds=0.5)).run()
    assert seen["ended"] == "out of time"
    assert seen["good"] == seen["answers"]["page 200"] == sum(seen["good_by_second"].values())


async def test_a_good_answer_counts_for_the_second_in_which_it_was_asked(clock, late_port) -> None:
    """An answer that comes more than a second after its question is good for the second of the question."""
    seen = await Generator(Order(late_port, "page", 2, 1, seconds=0.5, rate=2)).run()
    assert seen["good_by_second"] == {0: 1}
    assert seen["times"]["page"]["p50"] > LATE_SECONDS


@pytest.mark.parametrize("wrong", [{"connections": 5000}, {"connections": 0}, {"kind": "flood"}])
def test_an_order_that_asks_for_too_much_is_refused(wrong) -> None:
    """An order is read as it was written; one without bounds or of an unknown kind is refused."""
    order = Order(8080, "page", 10, 10)
    assert asked(written(order)) == order
    with pytest.raises(ValueError, match=r"connections|kind"):
        asked(json.dumps(json.loads(written(order)) | wrong))
