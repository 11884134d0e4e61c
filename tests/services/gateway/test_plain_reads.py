"""A plain read is answered as aiohttp answers the same request."""

import asyncio
import itertools
import json

import pytest
from structlog.testing import capture_logs

from services.errors import Invalid, NotFound, OutcomeUnknown, Unavailable
from tests.services.gateway.alike import MOCK, ORIGIN, PATHS, TRACE, get, is_same, server_of
from tests.services.gateway.conftest import serving
from tests.services.gateway.test_riding import waiting
from tests.wire import Wire

LINES = [
    [], ["X-User-Id: 7"], ["x-user-id:7"], ["X-User-Id: 0"], ["X-User-Id: x"], ["X-User-Id:"], ["X-User-Id: 7 8"],
    [f"X-User-Id: {2**63 - 1}"], [f"X-User-Id: {2**63}"], ["X-Request-Id: r-1"], ["X-Request-Id: a b"], [f"traceparent: {TRACE}"],
    ["traceparent: x"], ["Authorization: Bearer x"], ["Idempotency-Key: k"], ["Accept: */*", "User-Agent: x", "Cookie: a=b"],
    ["Connection: keep-alive"], ["Connection: Keep-Alive", "X-Forwarded-For: 10.0.0.1", "X-User-Id: 3"],
]  # fmt: skip


@pytest.mark.parametrize("origins", ["", ORIGIN])
async def test_a_plain_read_is_answered_alike(backend, origins):
    """Status, headers in their order, and body are the same, of refusals too."""
    backend.carts[7] = {1: 2}
    async with serving(backend, MOCK | {"CORS_ORIGINS": origins}) as gateway:
        for path, lines in itertools.product(PATHS, LINES):
            answers, closed = await is_same(gateway, get(path, *lines), plain=True, ids=("r-1",))
            assert (len(answers), closed) == (1, False), lines


async def test_what_plain_reads_say(open_gateway, backend):
    """The answers are those of the contract."""
    backend.carts[7] = {1: 2}
    wire = Wire(server_of(open_gateway))
    wire.receive(get(PATHS[0], "X-Request-Id: r-1"))
    await wire.answers(1)
    wire.receive(get(PATHS[1], "X-User-Id: 7", "X-Request-Id: r-2", f"traceparent: {TRACE}"))
    products, cart = await wire.answers(2)
    assert {name.lower() for name in products.headers} == {
        "content-type", "content-length", "date", "etag", "server", "vary", "x-request-id",
    }  # fmt: skip
    assert (products.status, products.headers["X-Request-Id"], products.headers["Vary"]) == (200, "r-1", "Origin")
    assert json.loads(products.body)["products"][0]["name"] == "Laptop"
    assert (json.loads(cart.body)["user_id"], json.loads(cart.body)["total_price"]) == (7, 2599.98)
    assert (backend.calls[-1].request_id, backend.calls[-1].traceparent) == ("r-2", TRACE)
    assert 0 < backend.items("GetCarts")[0][0].call.timeout_ms <= 4800
    answers, _ = await is_same(open_gateway, get(PATHS[0], f"If-None-Match: {products.headers['ETag']}"), plain=False)
    assert "304" in answers[0][0]


FAULTS = [
    Unavailable("away", retry_after=7),
    OutcomeUnknown("lost"),
    NotFound("gone"),
    Invalid("bad"),
    RuntimeError("unforeseen"),
]


@pytest.mark.parametrize(("path", "method"), [(PATHS[0], "ListProducts"), (PATHS[1], "GetCarts")])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_a_failure_is_answered_alike(open_gateway, backend, path, method, fault):
    """What a service refuses, or fails with, becomes the same answer, with the same hint when to try again."""
    backend.broken[method] = fault
    answers, _ = await is_same(open_gateway, get(path), plain=True)
    assert " 200 " not in answers[0][0]


async def test_an_unexpected_failure_is_answered_alike(open_gateway, monkeypatch):
    """An error in the gateway itself is 500 with the request's id, logged and counted under the route."""

    async def broken(*_):
        raise RuntimeError("unforeseen")

    for name in ("products", "cart"):
        monkeypatch.setattr(open_gateway.services, name, broken)
    for path in PATHS:
        with capture_logs() as lines:
            answers, closed = await is_same(open_gateway, get(path, "X-Request-Id: r-1"), plain=True, ids=("r-1",))
        assert (answers[0][0], closed) == ("HTTP/1.1 500 Internal Server Error", False)
        assert json.loads(answers[0][2]) == {"error": "internal error", "code": "internal_error", "request_id": "r-1"}
        failures = [line for line in lines if line["event"] == "unexpected failure"]
        assert [line["where"] for line in failures] == [f"GET {path}"] * 2


async def test_overload_is_answered_alike(backend):
    """While too many requests are under way a plain read is refused with 503 and Retry-After, and no service is asked."""
    async with serving(backend, MOCK | {"MAX_UNDER_WAY": "16"}) as gateway:
        backend.gates["GetCarts"] = asyncio.Event()
        wires = [Wire(server_of(gateway)) for _ in range(14)]
        for wire in wires:
            wire.receive(get(PATHS[1]))
        await waiting(gateway, 14)
        asked = len(backend.asked)
        for path in PATHS:
            answers, _ = await is_same(gateway, get(path, "X-User-Id: not looked at"), plain=True)
            assert ("503" in answers[0][0], dict(answers[0][1])["Retry-After"]) == (True, "1")
        assert {name for name, _ in backend.asked[asked:]} <= {"GetCarts"}
        backend.gates["GetCarts"].set()
        for wire in wires:
            assert (await wire.answers())[0].status == 200
        assert gateway.metrics.registry.get_sample_value("cartwright_requests_under_way") == 0


@pytest.mark.parametrize("path", PATHS)
async def test_tokens_are_checked_alike(secured, issuer, path):
    """Where tokens are needed a plain read needs one: the same tokens pass, and the same are refused, with the same challenge."""
    good = issuer.token(sub="7")
    for line in (None, f"Authorization: Bearer {good}", f"authorization: bearer {good}", "Authorization: Bearer a.b.c",
                 f"Authorization: Bearer {good[:-8]}AAAAAAAA", f"Authorization: Bearer  {good}", "Authorization:",
                 f"Authorization: Basic {good}", f"Authorization: Bearer {issuer.token(sub='x')}"):  # fmt: skip
        answers, _ = await is_same(secured, get(path, *([line] if line else [])), plain=True)
        assert (" 200 " in answers[0][0]) is (
            line is not None and line.lower().endswith(good.lower()) and "earer" in line
        )
    answers, _ = await is_same(
        secured, get(path, f"Authorization: Bearer {good}", "Authorization: Bearer x"), plain=False
    )
    assert " 400 " in answers[0][0]


def samples(gateway):
    """Give the counts of the requests answered, by method and status."""
    return {
        (sample.labels["method"], sample.labels["code"]): sample.value
        for metric in gateway.metrics.registry.collect()
        if metric.name == "cartwright_request_seconds"
        for sample in metric.samples
        if sample.name.endswith("_count")
    }


async def test_they_are_counted_and_logged_alike(open_gateway, backend):
    """A request is counted under its route and status, and logged, whichever way it was read."""
    backend.broken["ListProducts"] = Unavailable("away")
    for path, line, status in (
        (PATHS[0], "X-User-Id: 5", 503),
        (PATHS[1], "X-User-Id: 5", 200),
        (PATHS[1], "X-User-Id: x", 400),
    ):
        before = samples(open_gateway)
        with capture_logs() as lines:
            await is_same(open_gateway, get(path, line), plain=True)
        key = (f"GET {path}", str(status))
        assert samples(open_gateway)[key] - before.get(key, 0) == 2
        logged = [{k: v for k, v in one.items() if k != "ms"} for one in lines if one["event"] == "http"]
        assert len(logged) == 2
        assert logged[0] == logged[1]
        assert (logged[0]["route"], logged[0]["status"]) == (path, status)


async def test_a_draining_gateway_says_so_alike(open_gateway):
    """While the process drains, both ways end the connection, and say so."""
    open_gateway.readiness.state = "draining"
    for path in PATHS:
        answers, closed = await is_same(open_gateway, get(path), plain=True)
        assert (dict(answers[0][1])["Connection"], closed) == ("close", True)
