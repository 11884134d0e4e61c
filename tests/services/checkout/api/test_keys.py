"""Keys: each buys once, is cancelled with its own items alone, and replays what was stored."""

import asyncpg
import pytest

from services.pb import checkout_pb2 as pb
from tests.services.checkout.wire import PRECONDITION, cancel, line, start

pytestmark = pytest.mark.real


async def test_a_key_buys_once(stub, user):
    """The same key gives the same checkout, in one batch and later, and refuses other items, cancelled ones too."""
    items = [start(user), start(user), start(user, items=[line(), line(3)]), start(user, items=[])]
    first = (await stub.StartCheckouts(pb.StartCheckoutsRequest(items=items[:2]))).results
    later = (await stub.StartCheckouts(pb.StartCheckoutsRequest(items=items))).results
    ids = {one.answer.checkout_id for one in (*first, *later[:2])}
    assert len(ids) == 1
    for refusal in (later[2].refusal, later[3].refusal):
        assert (refusal.code, refusal.message) == (PRECONDITION, "the idempotency key was used for other items")


async def test_a_cancellation_of_other_items(stub, sessions, user):
    """Who names a running checkout's key with other items does not cancel it."""
    await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[start(user)]))
    reply = await stub.CancelCheckouts(
        pb.CancelCheckoutsRequest(items=[cancel(user, items=[line(3)]), cancel(user, items=[])])
    )
    assert [one.refusal.code for one in reply.results] == [PRECONDITION] * 2
    assert await sessions._db.fetch("SELECT 1 FROM checkout_sessions WHERE cancel_requested_at IS NOT NULL") == []
    reply = await stub.CancelCheckouts(pb.CancelCheckoutsRequest(items=[cancel(user)]))
    assert reply.results[0].checkout.saga_step == "ACCEPTED"
    assert len(await sessions._db.fetch("SELECT 1 FROM checkout_sessions WHERE cancel_requested_at IS NOT NULL")) == 1


async def test_origins_never_meet(stub, sessions, user, make_claim):
    """A key of REST and the same key of a resource are two checkouts, each found by its origin alone."""
    rest = await sessions.claim(make_claim(user, "k"))
    reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[start(user)]))
    other = reply.results[0].answer.checkout_id
    assert other != rest.id
    asked = [pb.GetCheckout(user_id=user, origin=origin, idempotency_key="k") for origin in (pb.REST, pb.RESOURCE)]
    found = (await stub.GetCheckouts(pb.GetCheckoutsRequest(items=asked))).results
    assert [one.checkout.id for one in found] == [rest.id, other]
    for origin, one in ((pb.REST, rest.id), (pb.RESOURCE, other)):
        listed = await stub.ListCheckouts(pb.ListCheckoutsRequest(origin=origin))
        assert [checkout.id for checkout in listed.checkouts] == [one]
    await stub.CancelCheckouts(pb.CancelCheckoutsRequest(items=[cancel(user)]))
    assert (await sessions.load(rest.id)).cancel is None


OLD_BODY = b'{"checkout_id":"of-before", "status":"COMPLETED"}'


async def test_an_answer_of_before_is_replayed_as_it_is(stub, sessions, url, user):
    """A body that was stored before answers had an order's id is replayed byte for byte; the checkout shows the id."""
    connection = await asyncpg.connect(url)
    made = await connection.fetchrow(
        "INSERT INTO checkout.checkout_sessions (user_id, origin, idempotency_key, fingerprint, source, step, status,"
        " currency, cancel_after, completed_at, response_code, response_body) VALUES"
        " ($1, 'rest', 'k', '', 'cart', 'COMPLETED', 'COMPLETED', 'USD', now(), now(), 200, $2) RETURNING id, order_id",
        user,
        OLD_BODY,
    )
    await connection.close()
    item = pb.StartCheckout(user_id=user, origin=pb.REST, idempotency_key="k")
    reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[item, item]))
    assert [(one.answer.body, one.answer.replayed) for one in reply.results] == [(OLD_BODY, True)] * 2
    asked = pb.GetCheckout(user_id=user, checkout_id=str(made["id"]))
    found = await stub.GetCheckouts(pb.GetCheckoutsRequest(items=[asked]))
    assert found.results[0].checkout.order_id == str(made["order_id"])
