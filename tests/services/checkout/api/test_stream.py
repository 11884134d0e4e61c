"""The stream of changes: every step, a slow reader, a database that was away."""

import asyncio
from datetime import UTC, datetime

import grpc
import pytest

from services.checkout.domain import Claim, Line, Status, Step
from services.checkout.saga import Move, apply
from services.pb import checkout_pb2 as pb
from services.pb import checkout_pb2_grpc
from tests.services.checkout.wire import line, start

pytestmark = pytest.mark.real


async def until(stream, step):
    """Read a stream until it tells of a step, and give the checkout."""
    async with asyncio.timeout(10):
        async for change in stream:
            for checkout in change.checkouts:
                if checkout.saga_step == step:
                    return checkout
    raise AssertionError(step)


async def all_steps(sessions, user):
    """Give a checkout again after each of its steps, from its acceptance to its end."""
    session = (await sessions._db.fetch("SELECT id FROM checkout_sessions WHERE user_id = $1", user))[0]
    session = await sessions.load(str(session["id"]))
    yield session
    session = await sessions.claim_accepted(
        session, Claim(user, session.key, (Line(None, 2, "Mouse", 5, 1),), "USD", 0, ())
    )
    yield session
    for step in (Step.RESERVED, Step.PAYING, Step.PAID, Step.COMPLETED):
        session = await sessions.move(session, apply(session, Move(step), datetime.now(UTC)))
        yield session


async def test_the_stream_tells_of_every_step(stub, sessions, stopping, user):
    """Each step that is written is told of, with its version; when the service drains the stream ends, without an error."""
    stream = stub.WatchCheckouts(pb.WatchCheckoutsRequest())
    await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[start(user)]))
    versions = []
    async for session in all_steps(sessions, user):
        told = await until(stream, session.step)
        assert (told.id, told.resource.name, told.version) == (session.id, "first", session.version)
        versions.append(told.version)
    assert versions == [1, 2, 3, 4, 5, 6]
    assert told.status == pb.COMPLETED
    stopping.set()
    async with asyncio.timeout(10):
        assert [change async for change in stream] == []
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_slow_reader_is_alone(stub, address, sessions, user):
    """A follower that does not read holds up neither another follower nor any other call."""
    async with grpc.aio.insecure_channel(address) as channel:
        asleep = checkout_pb2_grpc.CheckoutServiceStub(channel).WatchCheckouts(pb.WatchCheckoutsRequest())
        awake = stub.WatchCheckouts(pb.WatchCheckoutsRequest())
        items = [line(product) for product in range(1, 101)]
        for number in range(20):  # in all more than a connection holds for one that does not read
            requests = [start(user, f"k{number}-{one}", items) for one in range(20)]
            reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=requests))
            assert all(one.answer.checkout_id for one in reply.results)
        seen = set()
        async with asyncio.timeout(30):
            async for change in awake:
                seen |= {one.idempotency_key for one in change.checkouts}
                if len(seen) == 400:
                    break
        assert (await stub.ListCheckouts(pb.ListCheckoutsRequest(origin=pb.RESOURCE, most=1))).checkouts[
            0
        ].status == pb.PROCESSING
        asleep.cancel()


async def test_the_stream_goes_on_when_the_database_is_back(stub, sessions, user, monkeypatch):
    """While the database is away nothing is told and nothing breaks; afterwards what changed meanwhile is told."""
    from services.errors import Unavailable  # noqa: PLC0415 - this test alone

    real, away, noticed = sessions.changed_since, asyncio.Event(), asyncio.Event()

    async def changed_since(cursor):
        if away.is_set():
            noticed.set()
            raise Unavailable("the database is unavailable")
        return await real(cursor)

    monkeypatch.setattr(sessions, "changed_since", changed_since)
    stream = stub.WatchCheckouts(pb.WatchCheckoutsRequest())
    away.set()
    await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[start(user)]))
    await noticed.wait()
    away.clear()
    assert (await until(stream, "ACCEPTED")).user_id == user
    assert (await sessions.find(user, "resource", "k")).status is Status.PROCESSING
