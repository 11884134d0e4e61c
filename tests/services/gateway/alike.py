"""Sends the same bytes to a gateway in two ways, one of which aiohttp parses, and compares the answers."""

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
