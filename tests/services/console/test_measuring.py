"""Reading the metrics of the parts."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.chassis.env import BadSettings
from services.chassis.telemetry import Metrics
from services.console import measuring
from services.console.history import Audit, Breaker
from services.console.measuring import Reader, addresses, sample


def page(**values):
    """A metrics page as our processes make it."""
    metrics = Metrics()
    metrics.gauge("cartwright_outbox_oldest_seconds", "Age.").set(values.get("age", 0))
    metrics.gauge("cartwright_outbox_waiting", "Waiting.").set(values.get("waiting", 0))
    metrics.counter("cartwright_messages_dead_total", "Dead.").inc(values.get("dead", 0))
    metrics.breaker_open.labels("payment").set(values.get("breaker", 0))
    metrics.called.labels("payment", "Charge", "ok").observe(1)
    return metrics.page().decode()


def test_a_sample_is_what_the_pages_say():
    """Replicas of a part are put together: one relay leads, so that the longest wait counts, and open breakers are named once."""
    pages = {
        "checkout-relay": [page(), page(age=3.5, waiting=2)],
        "checkout": [page(breaker=1), page(breaker=1)],
        "orders-consumer": [page(dead=2)],
        "cart-consumer": None,
    }
    found = sample(pages, 5, 1)
    assert (found.outbox_oldest_seconds, found.outbox_waiting, found.dead_messages) == (3.5, 2, 2)
    assert found.breakers == (Breaker("checkout", "payment"),)
    assert (found.away, found.running, found.at_ms) == (("cart-consumer",), 1, 5)


def audited(*, books, **differences):
    """A metrics page as the auditor makes it."""
    metrics = Metrics()
    count = metrics.gauge("cartwright_audit_differences", "Differences.", ("kind",))
    age = metrics.gauge("cartwright_audit_oldest_difference_seconds", "Age.", ("kind",))
    compared = metrics.gauge("cartwright_audit_book_compared", "Compared.", ("book",))
    for kind in ("money", "stock"):
        count.labels(kind).set(differences.get(kind, 0))
        age.labels(kind).set(60 * differences.get(kind, 0))
    for book, value in books.items():
        compared.labels(book).set(value)
    return metrics.page().decode()


def test_the_auditors_verdict_is_that_of_its_page():
    """What any auditor has found counts, and a book is compared where one of them compares it; without one nothing is said."""
    pages = {
        "auditor": [
            audited(books={"bank": 0, "orders": 1}),
            audited(books={"bank": 0, "orders": 0, "carts": 1}, money=2),
        ],
        "orders": [page()],
    }
    assert sample(pages, 1, None).audit == Audit({"money": 2}, 120.0, 2, ("bank",))
    assert sample({"orders": [page()], "auditor": None}, 1, None).audit is None


def test_nothing_is_made_up():
    """Without a page nothing is measured, and what is no metrics page holds nothing."""
    assert sample({}, 1, None).outbox_oldest_seconds is None
    assert sample({"x": ["<html>", "cartwright_outbox_waiting{ broken", ""]}, 1, None).outbox_waiting is None


def test_addresses_are_checked_at_the_start():
    """What is no part=host:port is refused by name."""
    assert addresses(" a=h:1, b=dns.name:65535 ,") == {"a": ("h", 1), "b": ("dns.name", 65535)}
    for wrong in ("a", "a=h", "=h:1", "a=:1", "a=h:0", "a=h:65536", "a=h:x"):
        with pytest.raises(BadSettings, match="METRICS_ADDRS"):
            addresses(wrong)


async def test_a_part_that_does_not_answer_is_known_as_such():
    """Pages are read over HTTP; a part that is away, fails or is silent has none, and holds nobody up."""
    silent = asyncio.Event()

    async def metrics(request):
        if request.headers["Host"].startswith("127.0.0.2"):
            await silent.wait()
        return web.Response(text=page(waiting=4))

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        parts = {"here": ("127.0.0.1", port), "silent": ("127.0.0.2", port), "away": ("127.0.0.1", 1)}
        found = await Reader(parts, session).pages()
    silent.set()
    await runner.cleanup()
    assert sample(found, 1, None).outbox_waiting == 4
    assert (found["silent"], found["away"]) == (None, None)


def test_a_lag_that_is_not_known_is_not_0():
    """A consumer whose broker is away says that its lag is not known, and so does the console, for the whole."""
    known, away = (
        'cartwright_consumer_lag_messages{partition="0"} 3.0',
        'cartwright_consumer_lag_messages{partition="1"} NaN',
    )
    one = sample({"cart-consumer": [f"{known}\n{away}\n"], "orders-consumer": [f"{known}\n"]}, 1, None)
    assert one.lag == {"cart-consumer": None, "orders-consumer": 3.0}
    assert one.behind is None
    assert sample({"orders-consumer": [f"{known}\n"]}, 1, None).behind == 3.0
    assert sample({}, 1, None).behind is None


async def test_a_page_without_an_end_is_no_page(monkeypatch):
    """A part whose page is longer than any of ours does not fill the console's memory: it counts as one that does not answer."""
    monkeypatch.setattr(measuring, "MAX_BYTES", 1000)

    async def metrics(request):
        return web.Response(text="x" * 1001)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession() as session:
        assert await Reader({"a": ("127.0.0.1", server.port)}, session).pages() == {"a": None}
