"""What the API server's answers mean to the operator."""

import asyncio
import json
from types import SimpleNamespace

import pytest
import structlog
from aiohttp import ClientTimeout
from kubernetes.aio import client

from checkout_operator import cluster as module
from checkout_operator.clock import ServerClock
from checkout_operator.cluster import Cluster, ClusterUnavailable, Refused
from checkout_operator.credentials import Credentials
from checkout_operator.permissions import Permissions
from checkout_operator.selectors import LabelSelector
from checkout_operator.telemetry import Metrics
from tests.operator.views import at

MIRROR = {"metadata": {"name": "co-1", "namespace": "default"}}
HEAD = "HTTP/1.1 {} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"


def cluster_at(port):
    """Give the client of the API server on a port."""
    credentials = Credentials(client.Configuration(host=f"http://127.0.0.1:{port}"))
    return Cluster(credentials, Permissions(Metrics(), structlog.get_logger()), ServerClock(Metrics()))


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
        clusters.append(cluster_at(port))
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
        await cluster.replace_status(at("first"), {"phase": "Paying"})


def throttled(after, code=429):
    """Give the answer of an API server that is busy."""
    return reply(code).replace(b"Content-Length", b"Retry-After: %s\r\nContent-Length" % after)


@pytest.mark.parametrize("code", [429, 503])
async def test_a_busy_api_server(answering, monkeypatch, code):
    """A write and a list wait as long as a busy API server asks, and are then made; neither counts as an outage."""
    pauses, answers = [], []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: sum(pauses)))
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=record(pauses)))
    cluster = await answering(lambda _: answers.pop())
    answers += [reply(200), throttled(b"3", code), throttled(b"2", code)]
    assert await cluster.replace_status(at("first"), {"phase": "Paying"})
    assert pauses == [2, 3]
    answers += [reply(200, '{"items": [{}], "metadata": {}}'), throttled(b"1", code)]
    assert [body async for body in cluster.list_all("default", LabelSelector())] == [{}]
    assert pauses == [2, 3, 1]


def record(pauses):
    """Give a sleep that only says how long it was to be."""

    async def sleep(seconds):
        pauses.append(seconds)

    return sleep


async def test_all_wait_for_a_busy_api_server(answering, monkeypatch):
    """While one request waits, no other is sent: the API server asks the whole client."""
    asked, waiting, over = [], asyncio.Semaphore(0), asyncio.Event()

    async def sleep(_):
        waiting.release()
        await over.wait()

    def answer(request):
        asked.append(request)
        return throttled(b"1") if len(asked) == 1 else reply(200)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    cluster = await answering(answer)
    writes = []
    for number in range(5):
        writes.append(asyncio.create_task(cluster.replace_status(at(f"r{number}"), {})))
        await waiting.acquire()
    assert len(asked) == 1
    over.set()
    assert all(await asyncio.gather(*writes))


@pytest.mark.parametrize("after", [b"3600", b"31"])
async def test_no_request_waits_for_ever(answering, monkeypatch, after):
    """A request that would wait too long fails at once and may be repeated; the next one waits first."""
    pauses = []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: sum(pauses)))
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=record(pauses)))
    answers = [reply(200), throttled(after)]
    cluster = await answering(lambda _: answers.pop())
    with pytest.raises(ClusterUnavailable, match="429"):
        await cluster.replace_status(at("first"), {})
    assert pauses == []
    assert await cluster.replace_status(at("first"), {})
    assert pauses == [module.THROTTLE_SECONDS]


async def test_a_server_that_stays_busy(answering, monkeypatch):
    """A request that is put off again and again is given up after a while."""
    pauses = []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: sum(pauses)))
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=record(pauses)))
    cluster = await answering(throttled(b"10"))
    with pytest.raises(ClusterUnavailable, match="429"):
        await cluster.replace_status(at("first"), {})
    assert sum(pauses) == module.THROTTLE_SECONDS


async def test_nobody_there():
    """Nor does anything end where nobody listens."""
    cluster = cluster_at(1)
    with pytest.raises(ClusterUnavailable):
        await cluster.delete(at("first"), "u1")
    await cluster.close()


async def test_what_is_gone_or_there_already(answering):
    """What is gone is not written, what is there already is not made, and a rule's words are kept."""
    assert await (await answering(reply(404))).replace_status(at("first"), {}) is False
    assert await (await answering(reply(409))).create(MIRROR) is None
    assert await (await answering(reply(409))).delete(at("first"), "u1") is False
    assert await (await answering(reply(201, '{"a": 1}'))).create(MIRROR) == {"a": 1}
    with pytest.raises(Refused, match="sagaVersion cannot go back"):
        await (await answering(reply(422, "sagaVersion cannot go back"))).replace_status(at("first"), {})


async def test_own_writes_are_not_searched_for_mistakes(answering):
    """The API server need not read a mirror or a status a second time to warn of fields that it does not know."""
    asked = []

    def answer(request):
        asked.append(request.split(b" HTTP/1.1")[0])
        return reply(200)

    cluster = await answering(answer)
    await cluster.create(MIRROR)
    await cluster.replace_status(at("first"), {"phase": "Paying"})
    path = b"/apis/cartwright.dev/v1alpha1/namespaces/default/checkouts"
    ignore = b"?fieldValidation=Ignore"
    assert asked == [b"POST " + path + ignore, b"PATCH " + path + b"/first/status" + ignore]


async def test_page_by_page(answering):
    """All there is is given, in as many pages as there are, and none is asked for before it is needed."""
    asked = []

    def page(request):
        asked.append(b"continue=more" in request)
        more = "" if asked[-1] else "more"
        return reply(200, json.dumps({"items": [{"n": len(asked)}], "metadata": {"continue": more}}))

    every = (await answering(page)).list_all("default", LabelSelector())
    assert await anext(every) == {"n": 1}
    assert asked == [False]
    assert [body async for body in every] == [{"n": 2}]
    assert asked == [False, True]


async def test_an_event_that_exists(answering):
    """An event that exists counts as created; one that the API server does not take does not."""
    event = {"metadata": {"name": "first.u1", "namespace": "default"}, "reason": "OutOfStock"}
    assert await (await answering(reply(409))).create_event(event)
    with pytest.raises(ClusterUnavailable):
        await (await answering(reply(429))).create_event(event)


async def test_an_answer_that_is_late(monkeypatch):
    """A server that accepts and says nothing holds a write no longer than its time."""
    monkeypatch.setattr(module, "_TIMEOUT", ClientTimeout(total=0.01))
    accepted = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cluster = cluster_at(port)
    with pytest.raises(ClusterUnavailable, match="TimeoutError"):
        await cluster.replace_status(at("first"), {"phase": "Paying"})
    await cluster.close()
    for writer in accepted:
        writer.close()
    server.close()


@pytest.mark.parametrize("answer", ["", "[]", "<html>"])
async def test_an_answer_that_is_no_object(answering, answer):
    """Whatever else stands between us and the API server is not taken for it."""
    cluster = await answering(reply(200, answer))
    with pytest.raises(ClusterUnavailable):
        await cluster.create(MIRROR)
