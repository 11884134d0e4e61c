"""The rule of idempotency keys, as gRPC applies it; tests/keys.py has the examples that REST and the resource share."""

import pytest

from services.pb import checkout_pb2 as pb
from tests import keys
from tests.services.checkout.wire import INVALID, start

pytestmark = pytest.mark.real


@pytest.mark.parametrize("key", keys.ACCEPTED.values(), ids=keys.ACCEPTED.keys())
async def test_a_key_that_every_interface_accepts(stub, user, key):
    """A key that REST and the Checkout resource accept is accepted, found again, and comes back unchanged."""
    reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[start(user, key)]))
    assert reply.results[0].answer.checkout.idempotency_key == key
    asked = pb.GetCheckout(user_id=user, origin=pb.RESOURCE, idempotency_key=key)
    found = await stub.GetCheckouts(pb.GetCheckoutsRequest(items=[asked]))
    assert found.results[0].checkout.id == reply.results[0].answer.checkout_id


@pytest.mark.parametrize("key", keys.REFUSED.values(), ids=keys.REFUSED.keys())
@pytest.mark.parametrize("origin", [pb.REST, pb.RESOURCE])
async def test_a_key_that_every_interface_refuses(stub, sessions, user, key, origin):
    """A key that REST and the Checkout resource refuse is refused, whoever asks, and nothing is stored."""
    wanted = (
        start(user, key)
        if origin == pb.RESOURCE
        else pb.StartCheckout(user_id=user, origin=origin, idempotency_key=key)
    )
    reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[wanted]))
    assert (reply.results[0].refusal.code, reply.results[0].refusal.message[:15]) == (INVALID, "idempotency_key")
    assert await sessions._db.fetch("SELECT 1 FROM checkout_sessions") == []


@pytest.mark.parametrize("key", keys.SURROGATES.values(), ids=keys.SURROGATES.keys())
def test_no_message_holds_a_surrogate(key):
    """A surrogate has no UTF-8, and no message can hold one."""
    with pytest.raises(UnicodeEncodeError):
        pb.StartCheckout(idempotency_key=key)
