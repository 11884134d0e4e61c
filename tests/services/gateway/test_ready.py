"""Responses that are ready say what every response says, to clients of either version."""

import json

import pytest

from tests.services.gateway.conftest import send_raw


@pytest.mark.parametrize(
    ("request_line", "header", "version", "connection"),
    [
        ("HTTP/1.1", "", "HTTP/1.1", None),
        ("HTTP/1.1", "Connection: close\r\n", "HTTP/1.1", "close"),
        ("HTTP/1.0", "Connection: keep-alive\r\n", "HTTP/1.0", "keep-alive"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/products", "/api/v1/cart", "/health"])
async def test_the_connection_is_what_the_client_asked_for(gateway, path, request_line, header, version, connection):
    """The answer has the client's version, says whether the connection stays, and has a date, a length and its type."""
    answer = await send_raw(gateway, f"GET {path} {request_line}\r\nHost: x\r\n{header}\r\n".encode())
    assert (answer.version, answer.status, answer.headers.get("Connection")) == (version, 200, connection)
    assert answer.headers["Date"].endswith(" GMT")
    assert answer.headers.getall("Content-Type") == ["application/json"]
    assert answer.headers.getall("Server") == ["cartwright"]
    assert json.loads(answer.body)
