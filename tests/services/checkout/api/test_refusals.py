"""What the service refuses, and in which words; the bounds themselves are accepted."""

import grpc
import pytest

from services.pb import checkout_pb2 as pb
from tests.services.checkout.wire import INVALID, NOT_FOUND, cancel, line, spoilt, start

pytestmark = pytest.mark.real
KEY = "idempotency_key must be 1 to 255 characters"
REFUSED = {
    "user 0": ({"user_id": 0}, "user_id must be a positive integer"),
    "user -1": ({"user_id": -1}, "user_id must be a positive integer"),
    "no key": ({"idempotency_key": ""}, "idempotency_key is required"),
    "a blank key": ({"idempotency_key": "  "}, KEY),
    "a long key": ({"idempotency_key": "k" * 256}, KEY),
    "a key with NUL": ({"idempotency_key": "a\0b"}, KEY),
    "a key with a line feed": ({"idempotency_key": "a\n"}, KEY),
    "no origin": ({"origin": 0}, "origin must be"),
    "an unknown origin": ({"origin": 7}, "origin must be"),
    "a product twice": ({"items": [line(), line(quantity=2)]}, "100 different products"),
    "101 lines": ({"items": [line(product) for product in range(1, 102)]}, "100 different products"),
    "product 0": ({"items": [line(product=0)]}, "different products"),
    "product -1": ({"items": [line(product=-1)]}, "different products"),
    "none of it": ({"items": [line(quantity=0)]}, "quantity must be between 1 and 99"),
    "less than none": ({"items": [line(quantity=-1)]}, "quantity must be between 1 and 99"),
    "a hundred of it": ({"items": [line(quantity=100)]}, "quantity must be between 1 and 99"),
    "no resource": ({"resource": None}, "resource.uid"),
    "a resource without a name": ({"resource": pb.ResourceRef(uid="u", namespace="n")}, "resource.name"),
    "a resource with NUL": ({"resource": pb.ResourceRef(uid="u\0", namespace="n", name="n")}, "resource.uid"),
    "a long namespace": ({"resource": pb.ResourceRef(uid="u", namespace="n" * 254, name="n")}, "resource.namespace"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_refused(stub, sessions, user, change, words):
    """A bad item is refused in words that say what to do, to be started or cancelled; nothing is stored of it."""
    started = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[spoilt(start(user), change)]))
    cancelled = await stub.CancelCheckouts(pb.CancelCheckoutsRequest(items=[spoilt(cancel(user), change)]))
    for refusal in (started.results[0].refusal, cancelled.results[0].refusal):
        assert refusal.code == INVALID
        assert words in refusal.message
    assert await sessions._db.fetch("SELECT 1 FROM checkout_sessions") == []


async def test_what_is_only_for_resources(stub, user):
    """Items do not go with REST, and what REST started is not cancelled here."""
    started = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[start(user, origin=pb.REST)]))
    assert (started.results[0].refusal.code, started.results[0].refusal.message) == (
        INVALID,
        "items go with origin RESOURCE",
    )
    cancelled = await stub.CancelCheckouts(pb.CancelCheckoutsRequest(items=[cancel(user, origin=pb.REST)]))
    assert cancelled.results[0].refusal.code == INVALID


ACCEPTED = [
    {"items": [line(product) for product in range(1, 101)]},
    {"items": [line(quantity=99)]},
    {"items": [line(product=2**63 - 1)]},
    {"items": []},
    {"idempotency_key": "ü" * 255},
    {"timeout_seconds": 2**32 - 1},
    {"user_id": 2**63 - 1},
]


@pytest.mark.parametrize("change", ACCEPTED, ids=lambda change: next(iter(change)))
async def test_the_bounds_themselves(stub, user, change):
    """The largest of everything is accepted."""
    reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[spoilt(start(user), change)]))
    assert reply.results[0].answer.checkout.saga_step == "ACCEPTED"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"checkout_id": "x"}, NOT_FOUND),
        ({"checkout_id": "\0"}, NOT_FOUND),
        ({"checkout_id": "00000000-0000-4000-8000-000000000000"}, NOT_FOUND),
        ({}, NOT_FOUND),
        ({"idempotency_key": "never", "origin": pb.RESOURCE}, NOT_FOUND),
        ({"idempotency_key": "k"}, INVALID),
        ({"idempotency_key": "k", "origin": 7}, INVALID),
        ({"idempotency_key": "k" * 256, "origin": pb.REST}, INVALID),
        ({"user_id": 0, "checkout_id": "x"}, INVALID),
    ],
)
async def test_what_cannot_be_given(stub, user, asked, code):
    """What is not there is not found, and what names nothing is refused."""
    reply = await stub.GetCheckouts(pb.GetCheckoutsRequest(items=[pb.GetCheckout(**{"user_id": user} | asked)]))
    assert reply.results[0].refusal.code == code
    assert reply.results[0].refusal.message


async def test_another_users_checkout_is_not_found(stub, user):
    """A checkout is given to its user alone, by its id and by its key."""
    reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=[start(user)]))
    mine = reply.results[0].answer.checkout_id
    for words in ({"checkout_id": mine}, {"origin": pb.RESOURCE, "idempotency_key": "k"}):
        asked = [pb.GetCheckout(user_id=whose, **words) for whose in (user, user + 10**9)]
        found = (await stub.GetCheckouts(pb.GetCheckoutsRequest(items=asked))).results
        assert (found[0].checkout.id, found[1].refusal.code) == (mine, NOT_FOUND)


@pytest.mark.parametrize("origin", [0, 7])
async def test_a_list_of_nothing(stub, origin):
    """A list needs an origin."""
    with pytest.raises(grpc.aio.AioRpcError, match="origin must be REST or RESOURCE") as error:
        await stub.ListCheckouts(pb.ListCheckoutsRequest(origin=origin))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
