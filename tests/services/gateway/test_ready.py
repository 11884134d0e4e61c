"""Responses that are ready say what every response says, to clients of either version."""

import asyncio
import json

import pytest
from aiohttp import web

from services.chassis.telemetry import Metrics
from services.chassis.web import Readiness, close_when_draining, health_routes
from tests.services.gateway.conftest import GatewayServer, send_raw


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


async def test_a_hook_can_close_the_connection():
    """While the process drains, the connection ends after the answer, and the answer says so."""
    readiness = Readiness()
    readiness.state = "draining"
    app = web.Application()
    app.add_routes(health_routes(readiness, Metrics()))
    app.on_response_prepare.append(close_when_draining(readiness))
    async with GatewayServer(app, Metrics()) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(8):
            answer = await reader.read()  # up to the end of the connection
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in answer
