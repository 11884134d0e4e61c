"""A server closes the connections of its clients without a failed request: while it drains, and once they are old."""

import random
from contextlib import AsyncExitStack
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web as aiohttp_web

from services.chassis import web
from services.chassis.telemetry import Metrics


class Connection:
    """Stands for the transport of a connection."""


async def test_a_draining_page_closes_connections(unused_tcp_port_factory):
    """While serving, a client keeps its connection; once draining, the answer says that it ends."""
    readiness, port = web.Readiness(), unused_tcp_port_factory()
    app = aiohttp_web.Application()
    app.on_response_prepare.append(web.close_when_draining(readiness))
    app.add_routes(web.health_routes(readiness, Metrics()))
    runner = await web.start(app, "127.0.0.1", port, Metrics(), drain=1)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            seen = SimpleNamespace()
            for state in ("serving", "draining"):
                readiness.state = state
                async with client.get("/health") as response:
                    setattr(seen, state, response.headers.get("Connection"))
        assert (seen.serving, seen.draining) == (None, "close")
    finally:
        await runner.cleanup()


@pytest.fixture
async def page(unused_tcp_port):
    """Give what starts a server whose connections end at an age, and asks it as one client; each answer is its connection."""
    async with AsyncExitStack() as stack:

        async def page(age, clock):
            app = aiohttp_web.Application()
            app.on_response_prepare.append(web.close_when_old(age, clock))

            async def port(request):
                return aiohttp_web.Response(text=str(request.transport.get_extra_info("peername")[1]))

            app.add_routes([aiohttp_web.post("/", port)])
            runner = await web.start(app, "127.0.0.1", unused_tcp_port, Metrics(), drain=1)
            stack.push_async_callback(runner.cleanup)
            url = f"http://127.0.0.1:{unused_tcp_port}"
            session = await stack.enter_async_context(aiohttp.ClientSession(url))

            async def ask():
                async with session.post("/", data=b"x" * 1000) as response:
                    assert response.status == 200
                    return await response.text(), response.headers.get("Connection")

            return ask

        yield page


async def test_a_keep_alive_connection_ends_at_its_age(page):
    """A client keeps its connection for half the age at least; once the age is over an answer ends it, and nothing fails."""
    now = 0.0
    ask = await page(10, lambda: now)
    first, _ = await ask()
    now = 4.9
    assert await ask() == (first, None)
    now = 10.0
    assert await ask() == (first, "close")
    second, said = await ask()
    assert (second != first, said) == (True, None)
    now = 14.9
    assert await ask() == (second, None)


async def test_connections_without_an_age_stay(page):
    """With 0 a connection has no age."""
    now = 0.0
    ask = await page(0, lambda: now)
    first, _ = await ask()
    now = 10.0**6
    assert await ask() == (first, None)


async def test_clients_that_came_together_do_not_come_back_together(monkeypatch):
    """Each connection has an age of its own."""
    spread = iter((0.5, 1.0))
    monkeypatch.setattr(random, "uniform", lambda *_: next(spread))
    now, transports = 0.0, [Connection(), Connection()]
    hook = web.close_when_old(10, lambda: now)

    async def closes(transport):
        response = aiohttp_web.Response()
        await hook(SimpleNamespace(transport=transport), response)
        return response.headers.get("Connection") == "close"

    assert [await closes(one) for one in transports] == [False, False]
    now = 5.0
    assert [await closes(one) for one in transports] == [True, False]
    now = 10.0
    assert [await closes(one) for one in transports] == [True, True]
