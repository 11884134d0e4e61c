"""A plain read is answered as aiohttp answers the same bytes, whatever headers, pieces and tricks are in them."""

import asyncio
import itertools
import json

import pytest
from aiohttp import hdrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.gateway.alike import ORIGIN, PATHS, TRACE, both, comparable, get, is_same, server_of
from tests.services.gateway.test_malformed import MALFORMED
from tests.wire import Wire

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
