"""What the API server's answers mean to the operator."""

import asyncio
import json

import pytest
from kubernetes.aio import client

from checkout_operator.cluster import Cluster, ClusterUnavailable, Refused

HEAD = "HTTP/1.1 {} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def answering():
    """Give the cluster of a server that sends these bytes, or what is made of a request, and hangs up."""
    servers, clusters = [], []

    async def make(answer):
        async def serve(reader, writer):
            asked = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(asked) if callable(answer) else answer)
            writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        port = servers[-1].sockets[0].getsockname()[1]
        clusters.append(Cluster(client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{port}")), "default"))
        return clusters[-1]

    yield make
    for cluster in clusters:
        await cluster.close()
    for server in servers:
        server.close()


def reply(code, body="{}"):
    """Give an answer's bytes."""
    return (HEAD.format(code, len(body)) + body).encode()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 x\r\nContent-Length: 99\r\n\r\n{", b"\x15\x03", *map(reply, (401, 403, 429, 500, 503))],
    ids=["hangs up", "hangs up in the middle", "no HTTP", "401", "403", "429", "500", "503"],
)
async def test_not_known_to_be_done(answering, answer):
    """A connection that breaks, at whatever point, and every answer that says nothing of the call may be repeated."""
    cluster = await answering(answer)
    with pytest.raises(ClusterUnavailable):
        await cluster.patch_status("first", {"phase": "Paying"})


async def test_nobody_there():
    """Nor does anything end where nobody listens."""
    cluster = Cluster(client.ApiClient(client.Configuration(host="http://127.0.0.1:1")), "default")
    with pytest.raises(ClusterUnavailable):
        await cluster.delete("first", "u1")
    await cluster.close()


async def test_what_is_gone_or_there_already(answering):
    """What is gone is not written, what is there already is not made, and a rule's words are kept."""
    assert await (await answering(reply(404))).patch_status("first", {}) is False
    assert await (await answering(reply(409))).create({"metadata": {"name": "co-1"}}) is None
    assert await (await answering(reply(409))).delete("first", "u1") is False
    assert await (await answering(reply(201, '{"a": 1}'))).create({}) == {"a": 1}
    with pytest.raises(Refused, match="sagaVersion cannot go back"):
        await (await answering(reply(422, "sagaVersion cannot go back"))).patch_status("first", {})


async def test_page_by_page(answering):
    """All there is is given, in as many pages as there are, and none is asked for before it is needed."""
    asked = []

    def page(request):
        asked.append(b"continue=more" in request)
        more = "" if asked[-1] else "more"
        return reply(200, json.dumps({"items": [{"n": len(asked)}], "metadata": {"continue": more}}))

    every = (await answering(page)).list_all()
    assert await anext(every) == {"n": 1}
    assert asked == [False]
    assert [body async for body in every] == [{"n": 2}]
    assert asked == [False, True]


async def test_an_event_that_exists(answering):
    """An event that exists counts as created; one that the API server does not take does not."""
    words = ("first", "u1", "OutOfStock", "there was not enough", "2026-01-01T00:00:00Z")
    assert await (await answering(reply(409))).create_event(*words)
    with pytest.raises(ClusterUnavailable):
        await (await answering(reply(429))).create_event(*words)
