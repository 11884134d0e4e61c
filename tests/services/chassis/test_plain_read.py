"""What is recognised without a parser means the same to the parsers."""

import asyncio
from unittest.mock import Mock

import pytest
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.chassis.plain_read import MAX_HEAD_BYTES, MAX_REQUEST_BYTES, Recogniser, is_whole_request

PATHS = ("/api/v1/products", "/api/v1/cart")
READ = ("X-User-Id", "Authorization", "X-Request-Id")
HEAD = "GET /api/v1/cart HTTP/1.1\r\nHost: shop.example.com\r\n"
recognise = Recogniser(PATHS, READ)

PLAIN = {
    "the least": f"{HEAD}\r\n",
    "another path": "GET /api/v1/products HTTP/1.1\r\nHost: x\r\n\r\n",
    "a port": "GET /api/v1/cart HTTP/1.1\r\nhost:127.0.0.1:8080\r\n\r\n",
    "an IPv6 address": "GET /api/v1/cart HTTP/1.1\r\nHOST: [::1]:8080\r\n\r\n",
    "a browser": (
        f"{HEAD}User-Agent: Mozilla/5.0 (X11)\r\nAccept: */*\r\nAccept-Language: en\r\nConnection: keep-alive\r\n"
        "Cookie: a=b; c=d\r\nSec-Fetch-Mode: cors\r\nReferer: https://shop.example.com/\r\n\r\n"
    ),
    "a client of JSON": f"{HEAD}Accept: application/json\r\nContent-Type: application/json\r\n\r\n",
    "an ingress": f"{HEAD}X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Real-Ip: 10.0.0.1\r\nForwarded: for=_a\r\n\r\n",
    "an empty header": f"{HEAD}X-Other:\r\nAccept: \r\n\r\n",
    "32 headers": HEAD + "X: y\r\n" * 31 + "\r\n",
}  # fmt: skip
OTHER = {
    "nothing": "",
    "no blank line": HEAD,
    "half of a head": f"{HEAD}X-User-Id: 7",
    "no headers": "GET /api/v1/cart HTTP/1.1\r\n\r\n",
    "no host": "GET /api/v1/cart HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "two hosts": f"{HEAD}Host: shop.example.com\r\n\r\n",
    "an empty host": "GET /api/v1/cart HTTP/1.1\r\nHost: \r\n\r\n",
    "a host with a path": "GET /api/v1/cart HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "a host with a user": "GET /api/v1/cart HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "two in one": f"{HEAD}\r\n{HEAD}\r\n",
    "a byte too many": f"{HEAD}\r\nG",
    "a line too many": f"{HEAD}\r\n\r\n",
    "a line before": f"\r\n{HEAD}\r\n",
    "bare line feeds": f"{HEAD}\r\n".replace("\r\n", "\n"),
    "a bare line feed in a value": f"{HEAD}X: a\nContent-Length: 5\r\n\r\n",
    "a bare carriage return": f"{HEAD}X: a\rContent-Length: 5\r\n\r\n",
    "a folded header": f"{HEAD}X: a\r\n b\r\n\r\n",
    "a folded first header": "GET /api/v1/cart HTTP/1.1\r\n Host: x\r\n\r\n",
    "a NUL": f"{HEAD}X: a\0\r\n\r\n",
    "a control character": f"{HEAD}X: a\x7f\r\n\r\n",
    "another encoding": f"{HEAD}X: \xe9\r\n\r\n",
    "no colon": f"{HEAD}X\r\n\r\n",
    "an empty name": f"{HEAD}: a\r\n\r\n",
    "a blank before the colon": f"{HEAD}X-User-Id : 7\r\n\r\n",
    "a blank in a name": f"{HEAD}X User: 7\r\n\r\n",
    "a query": "GET /api/v1/cart?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an empty query": "GET /api/v1/cart? HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": "GET /api/v1/cart#a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a longer path": "GET /api/v1/cart/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "an encoded path": "GET /api/v1/%63art HTTP/1.1\r\nHost: x\r\n\r\n",
    "two slashes": "GET //api/v1/cart HTTP/1.1\r\nHost: x\r\n\r\n",
    "an absolute URL": "GET http://x/api/v1/cart HTTP/1.1\r\nHost: x\r\n\r\n",
    "another case": "GET /API/v1/cart HTTP/1.1\r\nHost: x\r\n\r\n",
    "two blanks": "GET  /api/v1/cart HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab": "GET\t/api/v1/cart HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD": f"{HEAD}\r\n".replace("GET", "HEAD"),
    "POST": f"{HEAD}\r\n".replace("GET", "POST"),
    "a method in lower case": f"{HEAD}\r\n".replace("GET", "get"),
    "HTTP/1.0": f"{HEAD}\r\n".replace("1.1", "1.0"),
    "HTTP/2.0": f"{HEAD}\r\n".replace("HTTP/1.1", "HTTP/2.0"),
    "no version": "GET /api/v1/cart\r\nHost: x\r\n\r\n",
    "33 headers": HEAD + "X: y\r\n" * 32 + "\r\n",
    "a long head": f"{HEAD}X: {'a' * MAX_HEAD_BYTES}\r\n\r\n",
    "blanks after a value that is read": f"{HEAD}X-User-Id: 7 \r\n\r\n",
    "blanks before a value that is read": f"{HEAD}X-User-Id:  7\r\n\r\n",
}  # fmt: skip
CHANGING = {
    "Content-Length": "0", "Transfer-Encoding": "chunked", "Connection": "close", "Upgrade": "h2c", "Expect": "100-continue",
    "TE": "trailers", "Trailer": "X", "If-None-Match": '"a"', "If-Modified-Since": "x", "If-Match": "*", "If-Range": "a",
    "Range": "bytes=0-1", "Content-Language": "en", "Content-Encoding": "gzip", "Origin": "https://a.example",
    "Access-Control-Request-Method": "GET", "X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE",
    "X-Method-Override": "DELETE", "Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive", "HTTP2-Settings": "a",
    "Sec-WebSocket-Key1": "a", "Max-Forwards": "1", "Server": "a", "ETag": '"a"',
}  # fmt: skip
NAMES = [str(name) for name in vars(hdrs).values() if isinstance(name, hdrs.istr)]
"""Every header that aiohttp knows."""


@pytest.mark.parametrize("raw", PLAIN.values(), ids=PLAIN.keys())
def test_a_plain_read_is_recognised(raw):
    """What clients and proxies send is recognised, and a plain read is one whole request too."""
    found = recognise(raw.encode())
    assert found is not None
    assert (found.path, found.method, dict(found.headers)) == (raw.split()[1], "GET", {})
    assert is_whole_request(raw.encode())


def test_the_headers_that_are_read_are_found():
    """Their names are known in any case; the values of others are not kept."""
    found = recognise(f"{HEAD}x-USER-id:7\r\nX-Other: 8\r\nAuthorization: Bearer a.b.c\r\n\r\n".encode())
    assert found is not None
    assert list(found.headers.items()) == [("X-User-Id", "7"), ("Authorization", "Bearer a.b.c")]
    assert (found.headers.get("x-user-id"), "X-Other" in found.headers) == ("7", False)


@pytest.mark.parametrize("raw", OTHER.values(), ids=OTHER.keys())
def test_anything_else_is_not(raw):
    """Whatever is not exactly one plain read is left to aiohttp."""
    assert recognise(raw.encode("latin-1")) is None


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_a_header_that_may_change_the_answer_is_not_plain(name, spell):
    """Such a request is left to aiohttp, wherever the header stands and however it is written."""
    line = f"{spell(name)}: {CHANGING[name]}\r\n"
    for raw in (
        f"{HEAD}{line}\r\n",
        f"{HEAD}{line}Accept: */*\r\n\r\n",
        f"{HEAD.split('Host', maxsplit=1)[0]}{line}Host: x\r\n\r\n",
    ):
        assert recognise(raw.encode()) is None


@pytest.mark.parametrize("name", [*READ, "User-Agent", "Content-Type", "Connection"])
def test_two_headers_that_say_one_thing_are_not_plain(name):
    """Of a header that is read, or that parsers refuse twice, there is one; also if the values are the same."""
    value = "keep-alive" if name == "Connection" else "7"
    assert recognise(f"{HEAD}{name}: {value}\r\n\r\n".encode()) is not None
    for other in (name, name.lower()):
        assert recognise(f"{HEAD}{name}: {value}\r\nAccept: */*\r\n{other}: {value}\r\n\r\n".encode()) is None


POST = "POST /api/v1/cart/items HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("raw", "whole"),
    [
        (f"{POST}Content-Length: 2\r\n\r\n{{}}", True),
        (f"{POST}content-length:2\r\nConnection: Keep-Alive\r\n\r\n{{}}", True),
        (f"{POST}Content-Length: 0\r\n\r\n", True),
        ("DELETE /api/v1/cart HTTP/1.1\r\nHost: x\r\n\r\n", True),
        ("HEAD /api/v1/cart?a=b HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\nIf-None-Match: *\r\n\r\n", True),
        (f"{POST}Content-Length: 2\r\n\r\n{{", False),
        (f"{POST}Content-Length: 2\r\n\r\n{{}}G", False),
        (f"{POST}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}", False),
        (f"{POST}Content-Length: +2\r\n\r\n{{}}", False),
        (f"{POST}Content-Length: 2,2\r\n\r\n{{}}", False),
        (f"{POST}Content-Length: \xb2\r\n\r\n{{}}", False),
        (f"{POST}Content-Length:\r\n\r\n", False),
        (f"{POST}Content-Length : 2\r\n\r\n{{}}", False),
        (f"{POST}Content-Length: {'9' * 30}\r\n\r\n{{}}", False),
        (f"{POST}Content-Length: {MAX_REQUEST_BYTES}\r\n\r\n{'a' * MAX_REQUEST_BYTES}", False),
        (f"{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (f"{POST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (f"{POST}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{{}}", False),
        (f"{POST}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}", False),
        (f"{POST}Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", False),
        (f"{POST}X: a\nContent-Length: 2\r\n\r\n{{}}", False),
        ("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", False),
        ("GET / HTTP/1.0\r\nHost: x\r\n\r\n", False),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", False),
        ("", False),
    ],
)
def test_a_whole_request_is_known_by_its_length(raw, whole):
    """A request that ends where the bytes end is whole; one whose end needs a parser to be found is not."""
    assert is_whole_request(raw.encode("latin-1")) is whole


# Bytes that are nearly a request: pieces of which some fit, in any order, and then single bytes changed.
_lines = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "Host: x", "host:a.b:80", "Host: [::1]", "Host:", "X-User-Id: 7", "x-user-id:7 ", "Authorization: Bearer a",
                "Accept: */*", "User-Agent: a b", "Connection: keep-alive", "Connection: close", "Content-Length: 0",
                "Content-Length: 2", "Content-Length:\t2 ", "Transfer-Encoding: chunked", "Transfer-Encoding : chunked",
                "Upgrade: websocket", "Expect: 100-continue", "X: a\nContent-Length: 2", "X: a\rY: b", " folded", "X:", ": a",
                "Sec-WebSocket-Key1: a", "Content-Encoding: gzip", "Keep-Alive: 5", "X: \xe9", "X: \0",
            ]
        ),
        st.builds("{}: {}".format, st.sampled_from(NAMES), st.sampled_from(["a", "0", "", "close", "a, b"])),
    ),
    max_size=6,
)  # fmt: skip
_raw = st.builds(
    lambda method, target, version, lines, body, again: (
        ("\r\n".join([f"{method} {target} {version}", *lines, "", ""]) + body) * again
    ).encode("latin-1"),
    st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "DELETE", "CONNECT", "get", "G"]),
    st.sampled_from([*PATHS, *PATHS, "/", "/api/v1/cart?x=1", "http://x/api/v1/cart", "*", "x:1"]),
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.1 ", "http/1.1"]),
    st.builds(lambda host, lines: [*host, *lines], st.sampled_from([["Host: x"], ["Host: x"], []]), _lines),
    st.sampled_from(["", "", "{}", "0\r\n\r\n", "\r\n", "GET / HTTP/1.1\r\n\r\n"]),
    st.sampled_from([1, 1, 1, 2]),
)
_bytes = st.one_of(
    _raw,
    st.builds(
        lambda raw, at, byte, gone: raw[: at % (len(raw) + 1)] + bytes([byte]) + raw[at % (len(raw) + 1) + gone :],
        _raw,
        st.integers(0, 500),
        st.sampled_from([*b"\r\n\t :\0a\x7f\xff?#%;,"]),
        st.integers(0, 1),
    ),
)


@pytest.fixture(params=[HttpRequestParser, HttpRequestParserPy])
def parse(request):
    """Give what parses bytes with a parser of aiohttp: that of C, and that of Python."""
    loop = asyncio.new_event_loop()

    def parse(data):
        parser = request.param(
            Mock(), loop, 2**16, max_line_size=8192, max_field_size=16384, max_headers=128, auto_decompress=False
        )
        messages, upgraded, tail = parser.feed_data(data)
        assert (upgraded, tail) == (False, b"")
        return messages

    yield parse
    loop.close()


def test_parsers_agree(parse):
    """What is recognised is one request to the parsers too, complete, with the same path, headers and connection."""
    seen = {"plain": 0, "whole": 0}

    @settings(max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=_bytes)
    @example(data=PLAIN["a browser"].encode())
    @example(data=f"{POST}Content-Length: 2\r\n\r\n{{}}".encode())
    def hold(data):
        plain, whole = recognise(data), is_whole_request(data)
        seen["plain"] += plain is not None
        seen["whole"] += whole
        if plain is None and not whole:
            return
        try:
            messages = parse(data)
        except HttpProcessingError:
            assert plain is None  # a whole request that is refused: its answer ends the connection
            return
        assert len(messages) == 1
        message, payload = messages[0]
        assert payload.is_eof()
        assert (message.should_close, message.upgrade, message.chunked) == (False, False, False)
        if plain is not None:
            assert whole
            assert (message.method, message.path) == ("GET", plain.path)
            for name in READ:
                assert message.headers.getall(name, []) == plain.headers.getall(name, [])

    hold()
    assert min(seen.values()) > 0
