"""Requests that are refused before they reach a route: JSON answers that quote nothing, and the limits themselves."""

import json

import aiohttp
import pytest
from aiohttp import web as aiohttp_web

from services.chassis import web
from services.chassis.malformed import MAX_HEADER_BYTES, MAX_HEADERS, MAX_URL_BYTES
from services.chassis.telemetry import Metrics
from services.gateway.docs import openapi
from tests.services.gateway.conftest import send_raw

SECRET = "hunter2"
GET = "GET /health HTTP/1.1\r\n"
HOST = "Host: x\r\n"
BAD = "the request is not well-formed HTTP/1.1"
LONG_HEADER = "a header is longer than 16 KiB, or there are more than 128 of them"
MALFORMED = {
    "a long URL": (f"GET /{SECRET}{'a' * MAX_URL_BYTES} HTTP/1.1\r\n{HOST}\r\n", 414, "the URL is longer than 8 KiB"),
    "a long query": (f"GET /?{SECRET}={'a' * MAX_URL_BYTES} HTTP/1.1\r\n{HOST}\r\n", 414, "the URL is longer than 8 KiB"),
    "a long header": (f"{GET}{HOST}X: {SECRET}{'a' * MAX_HEADER_BYTES}\r\n\r\n", 431, LONG_HEADER),
    "a long token": (f"{GET}{HOST}Authorization: Bearer {SECRET}{'a' * MAX_HEADER_BYTES}\r\n\r\n", 431, LONG_HEADER),
    "a long cookie": (f"{GET}{HOST}Cookie: {SECRET}{'a' * MAX_HEADER_BYTES}\r\n\r\n", 431, LONG_HEADER),
    "a long header's name": (f"{GET}{HOST}{'a' * MAX_HEADER_BYTES}{SECRET}: 1\r\n\r\n", 431, LONG_HEADER),
    "many headers": (f"{GET}{HOST}{f'X: {SECRET}{chr(13)}{chr(10)}' * MAX_HEADERS}\r\n", 431, LONG_HEADER),
    "no host": (f"{GET}X: {SECRET}\r\n\r\n", 400, BAD),
    "two hosts": (f"{GET}{HOST}Host: {SECRET}\r\n\r\n", 400, BAD),
    "two content types": (f"{GET}{HOST}Content-Type: a\r\nContent-Type: {SECRET}\r\n\r\n", 400, BAD),
    "a length that is no number": (f"{GET}{HOST}Content-Length: {SECRET}\r\n\r\n", 400, BAD),
    "a negative length": (f"{GET}{HOST}X: {SECRET}\r\nContent-Length: -1\r\n\r\n", 400, BAD),
    "a length beyond all bounds": (f"{GET}{HOST}X: {SECRET}\r\nContent-Length: {'9' * 30}\r\n\r\n", 400, BAD),
    "two lengths": (f"{GET}{HOST}X: {SECRET}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, BAD),
    "a length and chunks": (f"{GET}{HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, BAD),
    "an unknown transfer encoding": (f"{GET}{HOST}Transfer-Encoding: {SECRET}\r\n\r\n0\r\n\r\n", 400, BAD),
    "a bad chunk": (f"{GET}{HOST}Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n", 400, BAD),
    "a chunk longer than it says": (f"{GET}{HOST}Transfer-Encoding: chunked\r\n\r\n1\r\n{SECRET}\r\n", 400, BAD),
    "another expectation": (f"{GET}{HOST}Expect: 200-{SECRET}\r\n\r\n", 417, "the only expectation that is supported is 100-continue"),
    "another expectation of a path that is not there": (
        f"GET /{SECRET} HTTP/1.1\r\n{HOST}Expect: 200-ok\r\n\r\n", 417, "the only expectation that is supported is 100-continue",
    ),
    "an unknown method": (f"{SECRET} /health HTTP/1.1\r\n{HOST}\r\n", 400, BAD),
    "HTTP/2.0": (f"GET /health?{SECRET} HTTP/2.0\r\n{HOST}\r\n", 400, BAD),
    "HTTP/0.9": (f"GET /health?{SECRET} HTTP/0.9\r\n{HOST}\r\n", 400, BAD),
    "HTTP/1.7": (f"GET /health?{SECRET} HTTP/1.7\r\n{HOST}\r\n", 400, BAD),
    "no version": (f"GET /{SECRET}\r\n\r\n", 400, BAD),
    "a URL that is none": (f"GET http://[{SECRET} HTTP/1.1\r\n{HOST}\r\n", 400, BAD),
    "a path without a slash": (f"GET {SECRET} HTTP/1.1\r\n{HOST}\r\n", 400, BAD),
    "a blank in a header's name": (f"{GET}{HOST}{SECRET} b: 1\r\n\r\n", 400, BAD),
    "a NUL in a header": (f"{GET}{HOST}X: {SECRET}\0\r\n\r\n", 400, BAD),
    "a folded header": (f"{GET}{HOST}X: {SECRET}\r\n  more\r\n\r\n", 400, BAD),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00" + SECRET, 400, BAD),
}  # fmt: skip


def counted(gateway):
    """Give how many malformed requests were counted under each status."""
    lines = [line for line in gateway.metrics.page().decode().splitlines() if "malformed_requests_total{" in line]
    return {int(line.split('"')[1]): float(line.split()[1]) for line in lines}


@pytest.mark.parametrize(("raw", "status", "error"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_request_is_answered_in_json(gateway, backend, caplog, raw, status, error):
    """The answer is JSON that says what is wrong, holds nothing of the request, and is counted; nothing is logged."""
    answer = await send_raw(gateway, raw.encode("latin-1"))
    assert (answer.status, json.loads(answer.body)["error"]) == (status, error)
    assert answer.version in {"HTTP/1.0", "HTTP/1.1"}
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Server"] == "cartwright"
    assert SECRET not in str(answer)
    assert counted(gateway) == {status: 1}
    assert (backend.asked, caplog.records) == ([], [])


async def test_an_expectation_is_met(gateway):
    """A client that asks whether to send its body is told to (RFC 9110, section 10.1.1)."""
    head = f"POST /api/v1/cart/items HTTP/1.1\r\n{HOST}Content-Length: 29\r\nExpect: 100-continue\r\n\r\n"
    answer = await send_raw(gateway, head.encode(), b'{"product_id":1,"quantity":1}')
    assert answer.status == 100


@pytest.mark.parametrize("size", [8 * 1024, MAX_HEADER_BYTES - 60])
async def test_a_long_token_passes(secured, issuer, size):
    """A bearer token of 8 kB, and one that fills its header, is read like any other."""
    token = issuer.token(padding="x" * (size * 3 // 4 - 600))
    assert size * 0.85 < len(token) < size
    response = await secured.client.get("/api/v1/cart", headers={"Authorization": f"Bearer {token}"})
    assert response.status == 200


async def test_the_limits_themselves_are_within(gateway):
    """A URL of 8 KiB, a header of 16 KiB and 128 headers are not refused for their size."""
    path = "/" + "a" * (MAX_URL_BYTES - 1)
    assert (await send_raw(gateway, f"GET {path} HTTP/1.1\r\n{HOST}\r\n".encode())).status == 404
    header = "X: " + "a" * (MAX_HEADER_BYTES - 1)
    assert (await send_raw(gateway, f"{GET}{HOST}{header}\r\n\r\n".encode())).status == 200
    many = "X: a\r\n" * (MAX_HEADERS - 1)
    assert (await send_raw(gateway, f"{GET}{HOST}{many}\r\n".encode())).status == 200


async def test_no_answer_names_a_version_of_the_server(gateway):
    """Whatever the answer, its Server header is a name without versions."""
    for path in (*openapi()["paths"], "/docs", "/openapi.json", "/metrics", "/nothing"):
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
            response = await gateway.client.request(method, path, allow_redirects=False)
            assert response.headers.getall("Server") == ["cartwright"]


async def test_the_health_pages_of_every_process_do_so_too(unused_tcp_port_factory):
    """A process that serves its health pages alone answers malformed requests in JSON, and failures without internals."""
    metrics, port = Metrics(), unused_tcp_port_factory()
    app = aiohttp_web.Application()

    async def broken(_):
        raise RuntimeError(SECRET)

    app.add_routes([*web.health_routes(web.Readiness(), metrics), aiohttp_web.get("/broken", broken)])
    runner = await web.start(app, "127.0.0.1", port, metrics, drain=1)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            for path, status, error in (("/health", 200, None), ("/broken", 500, "internal error")):
                async with client.get(path) as response:
                    assert (response.status, response.headers["Server"]) == (status, "cartwright")
                    assert (await response.json()).get("error") == error
            async with client.get("/health", headers={"Expect": SECRET}) as response:
                assert (response.status, SECRET in await response.text()) == (417, False)
    finally:
        await runner.cleanup()
