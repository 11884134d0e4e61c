"""A plain read is answered as aiohttp answers the same request."""

import asyncio
import itertools
import json

import pytest
from aiohttp import hdrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.errors import Invalid, NotFound, OutcomeUnknown, Unavailable
from tests.services.gateway.conftest import serving
from tests.services.gateway.test_malformed import MALFORMED
from tests.services.gateway.test_riding import waiting
from tests.wire import Wire

PATHS = ("/api/v1/products", "/api/v1/cart")
ORIGIN = "https://shop.example.com"
MOCK = {"AUTH_MODE": "mock", "APP_ENV": "dev", "LOG_SAMPLE_READS": "1"}
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
MADE_UP = "made up by the gateway"


def server_of(gateway):
    """Give the server behind a gateway's sockets."""
    return gateway.client.server.runner.server


def get(path, *lines, host="Host: x"):
    """Give a GET with these header lines."""
    return "\r\n".join([f"GET {path} HTTP/1.1", *([host] if host else []), *lines, "", ""]).encode("latin-1")


def comparable(answer, ids):
    """Give what of an answer does not depend on the moment."""
    headers = answer.headers.copy()
    assert headers.pop("Date", "GMT").endswith("GMT")
    body = answer.body
    if (own := headers.get("X-Request-Id")) and own not in ids:
        headers["X-Request-Id"] = MADE_UP
        body = body.replace(own.encode(), MADE_UP.encode())
    return answer.status_line, list(headers.items()), body


async def both(gateway, raw, ids=()):
    """Send bytes in one piece, and so that aiohttp parses them; give both lists of answers, and what aiohttp answered of the first."""
    server = server_of(gateway)
    results, seen = [], []
    for pieces in ([raw], [raw[:1], raw[1:]]):
        wire, before = Wire(server), server.requests_count
        wire.receive(*pieces)
        await wire.settled()
        seen.append(server.requests_count - before)
        results.append(([comparable(answer, ids) for answer in wire.read()], wire.closed))
        wire.close()
    return results[0], results[1], seen


async def is_same(gateway, raw, *, plain=None, ids=()):
    """Hold the answers to be the same both ways; `plain` says whether the first way is to be the plain one."""
    fast, slow, (by_aiohttp, _) = await both(gateway, raw, ids)
    assert fast == slow
    if plain is not None:
        assert (by_aiohttp == 0) is plain
    return fast


@pytest.fixture
async def open_gateway(backend):
    """Give a gateway whose answers other origins may read, and in which every read is logged."""
    async with serving(backend, MOCK | {"CORS_ORIGINS": ORIGIN}) as it:
        yield it


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


KNOWN = [str(name) for name in vars(hdrs).values() if isinstance(name, hdrs.istr)]
VALUES = {
    "Host": "y",
    "Content-Length": "0",
    "Connection": "close",
    "Origin": ORIGIN,
    "If-None-Match": "*",
    "Expect": "100-continue",
}


@pytest.mark.parametrize("name", sorted({*KNOWN, "X-User-Id", "Idempotency-Key", "X-Request-Id", "traceparent"}))
async def test_every_header_is_answered_alike(open_gateway, name):
    """Whatever header aiohttp knows, once, twice or with two values, the answer is that of aiohttp."""
    value = VALUES.get(name, "1")
    for lines in (
        [f"{name}: {value}"],
        [f"{name}: {value}"] * 2,
        [f"{name}: {value}", f"{name.lower()}: 2"],
        [f"{name}:"],
    ):
        for path in PATHS:
            await is_same(open_gateway, get(path, *lines), ids=("1", "2"))


SMUGGLED = {
    name: raw.replace("/health", path).encode("latin-1")
    for (name, (raw, *_)), path in itertools.product(MALFORMED.items(), PATHS)
} | {
    "a second head in a value": get(PATHS[1], "X: a\r\nGET /api/v1/products HTTP/1.1\r\nX: b"),
    "a head behind a bare line feed": get(PATHS[1], "X: a\n\nGET /api/v1/products HTTP/1.1\r\nHost: x"),
    "a length behind a bare line feed": get(PATHS[1], "X: a\nContent-Length: 5"),
    "a length behind a bare carriage return": get(PATHS[1], "X: a\rContent-Length: 5"),
    "a length with a blank": get(PATHS[1], "Content-Length : 5"),
    "a body": get(PATHS[1], "Content-Length: 5") + b"GET /",
    "chunks": get(PATHS[1], "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunks with a tab": get(PATHS[1], "Transfer-Encoding:\tchunked") + b"0\r\n\r\n",
    "chunks in the header of another": get(PATHS[1], "X: a", " Transfer-Encoding: chunked"),
    "another user in a folded line": get(PATHS[1], "X-User-Id: 1", " 2"),
    "another user behind a NUL": get(PATHS[1], "X-User-Id: 1\0"),
    "two users": get(PATHS[1], "X-User-Id: 1", "X-User-Id: 2"),
    "an underscore": get(PATHS[1], "X_User_Id: 2"),
    "another method": get(PATHS[1], "X-HTTP-Method-Override: DELETE"),
    "an absolute URL of another host": get(f"http://y{PATHS[1]}"),
}  # fmt: skip


@pytest.mark.parametrize("raw", SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_nothing_can_be_smuggled(open_gateway, raw):
    """What is malformed, or what parsers could read in two ways, is answered as aiohttp does, and ends as it does."""
    await is_same(open_gateway, raw)


_ids = st.text(st.sampled_from("abz09.-_:/ é"), max_size=8)
_lines = st.lists(
    st.one_of(
        st.builds("X-User-Id:{}{}".format, st.sampled_from(["", " ", "  ", "\t"]), st.sampled_from(["7", "07", "0", "-1", "x", "", "7 "])),
        st.builds("{}: {}".format, st.sampled_from(["X-Request-Id", "x-request-id", "traceparent"]), st.sampled_from([TRACE, "r", "r-1", "a b", ""])),
        st.builds("X-Request-Id: {}".format, _ids),
        st.builds("{}: {}".format, st.sampled_from(KNOWN), st.sampled_from(["a", "0", "1", "", "close", "keep-alive", "gzip", "*"])),
        st.sampled_from([f"Origin: {ORIGIN}", "Origin: null", "Accept: a\tb", "X: \x01", "X", "Cookie: " + "c" * 4000]),
    ),
    max_size=5,
)  # fmt: skip
_requests = st.builds(
    lambda path, host, lines: get(path, *lines, host=host),
    st.sampled_from([*PATHS, *PATHS, "/api/v1/cart?x=1", "/api/v1/cart/", "/api/v1/orders", "/health", "/nothing"]),
    st.sampled_from(["Host: x", "Host: x", "Host:x:80", "Host: [::1]", "Host: ", None]),
    _lines,
)
_conversations = st.lists(_requests, min_size=1, max_size=3).map(b"".join)


async def test_made_up_requests_are_answered_alike(open_gateway):
    """Whatever is sent, alone or with more behind it, the answers are those of aiohttp."""
    loop = asyncio.get_running_loop()
    ways = set()

    @settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(raw=_conversations)
    def send(raw):
        async def alike():
            fast, slow, (by_aiohttp, _) = await both(open_gateway, raw, ids={"r", "r-1", "1", "0", "a"})
            assert fast == slow
            ways.add(by_aiohttp == 0)

        asyncio.run_coroutine_threadsafe(alike(), loop).result()

    await asyncio.to_thread(send)
    assert ways == {True, False}


async def test_a_connection_is_answered_alike_in_pieces(open_gateway, backend):
    """A conversation on one connection gets the same answers, however it is cut into pieces."""
    backend.carts[7] = {1: 2}
    body = b'{"product_id":1,"quantity":1}'
    add = (
        b"POST /api/v1/cart/items HTTP/1.1\r\nHost: x\r\nX-User-Id: 8\r\nX-Request-Id: r\r\nContent-Length: 29\r\n\r\n"
        + body
    )
    clear = b"DELETE /api/v1/cart HTTP/1.1\r\nHost: x\r\nX-User-Id: 8\r\nX-Request-Id: r\r\n\r\n"
    cart, products = get(PATHS[1], "X-User-Id: 8", "X-Request-Id: r"), get(PATHS[0], "X-Request-Id: r")
    conversation = [cart, add, cart, products, clear, cart, get("/health", "X-Request-Id: r"), products]
    whole = b"".join(conversation)
    cuts = [conversation, [whole], [whole[:200], whole[200:]], [whole[at : at + 40] for at in range(0, len(whole), 40)],
            [b"".join(two) for two in zip(conversation[::2], conversation[1::2], strict=True)]]  # fmt: skip
    seen = []
    for pieces in cuts:
        wire = Wire(server_of(open_gateway))
        for piece in pieces:
            wire.receive(piece)
            await asyncio.sleep(0)
        seen.append([comparable(answer, {"r"}) for answer in await wire.answers(len(conversation))])
        wire.close()
    assert all(one == seen[0] for one in seen)
    assert [json.loads(answer[2]).get("total_items") for answer in seen[0]] == [0, 1, 1, None, 0, 0, None, None]
