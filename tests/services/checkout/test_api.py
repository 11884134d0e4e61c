"""Checkouts over gRPC: what is refused and in which words, order and neighbours in a batch, keys, and the stream."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import grpc
import pytest
import structlog

from services.chassis.rpc import Server
from services.chassis.run import wait
from services.chassis.telemetry import Metrics
from services.checkout.api import SERVICE, CheckoutApi
from services.checkout.changes import follow
from services.checkout.domain import AnotherRunning, Claim, Line, MissingProduct, Status, Step, UnknownProducts
from services.checkout.saga import Move, take
from services.checkout.store import PostgresSessions
from services.checkout.usecases import Checkouts
from services.pb import checkout_pb2 as pb
from services.pb import checkout_pb2_grpc

pytestmark = pytest.mark.real
REF = pb.ResourceRef(uid="u", namespace="default", name="first")
MOUSE = (pb.WantedItem(product_id=2, quantity=1),)
INVALID, NOT_FOUND, PRECONDITION = (
    code.value[0]
    for code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
)


@pytest.fixture
def sessions(db):
    """The store."""
    return PostgresSessions(db, owner="me", timeout=300)


@pytest.fixture
def stopping():
    """What tells the service to stop."""
    return asyncio.Event()


@pytest.fixture
async def address(sessions, stopping):
    """Serve the real store; nobody drives what is accepted, so that it stays where it is put."""

    async def leave(session):
        return session

    checkouts = Checkouts(sessions, None, leave, notify=None)
    api = CheckoutApi(checkouts, sessions, lambda: follow(sessions, stopping, wait))
    server = Server(structlog.get_logger(), Metrics(), reflect=False)
    register = {SERVICE: lambda to: checkout_pb2_grpc.add_CheckoutServiceServicer_to_server(api, to)}
    port = await server.start("127.0.0.1:0", register)
    yield f"127.0.0.1:{port}"
    stopping.set()
    await server.stop(5)


@pytest.fixture
async def stub(address):
    """The service, as a caller has it."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield checkout_pb2_grpc.CheckoutServiceStub(channel)


def start(user, key="k", items=MOUSE, **more):
    """What the operator asks for when a resource is applied."""
    return pb.StartCheckout(
        **{"origin": pb.RESOURCE, "resource": REF} | more, user_id=user, idempotency_key=key, items=items
    )


def cancel(user, key="k", items=MOUSE, **more):
    """What the operator asks for when a resource is cancelled."""
    return pb.CancelCheckout(
        **{"origin": pb.RESOURCE, "resource": REF} | more, user_id=user, idempotency_key=key, items=items
    )


def line(product=2, quantity=1):
    """A line of what to buy."""
    return pb.WantedItem(product_id=product, quantity=quantity)


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


def spoilt(message, change):
    """Give the message with something wrong in it."""
    given = {field.name: value for field, value in message.ListFields()} | change
    return type(message)(**{name: value for name, value in given.items() if value is not None})


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


async def test_a_bad_item_among_good_ones(stub, user):
    """Results come in the order of their items, and a bad one harms no other, whichever method is asked."""
    items = [start(user, f"k{number}") for number in range(5)]
    items[1], items[3] = spoilt(items[1], {"user_id": 0}), spoilt(items[3], {"idempotency_key": "\0"})
    kinds = [*["answer", "refusal"] * 2, "answer"]
    reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=items))
    assert [one.WhichOneof("outcome") for one in reply.results] == kinds
    keys = [one.answer.checkout.idempotency_key for one in reply.results]
    assert keys == ["k0", "", "k2", "", "k4"]
    asked = [
        pb.GetCheckout(user_id=one.user_id, origin=pb.RESOURCE, idempotency_key=one.idempotency_key) for one in items
    ]
    got = await stub.GetCheckouts(pb.GetCheckoutsRequest(items=asked))
    assert [one.checkout.idempotency_key for one in got.results] == keys
    assert [got.results[number].refusal.code for number in (1, 3)] == [INVALID, INVALID]
    stop = [cancel(one.user_id, one.idempotency_key) for one in items]
    ended = await stub.CancelCheckouts(pb.CancelCheckoutsRequest(items=stop))
    assert [one.checkout.idempotency_key for one in ended.results] == keys


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


@pytest.mark.parametrize("method", ["StartCheckouts", "GetCheckouts", "CancelCheckouts"])
async def test_the_size_of_a_batch(stub, method):
    """An empty batch has an empty answer; one too large is refused as a whole, with its bound."""
    request = getattr(pb, f"{method}Request")
    assert list((await getattr(stub, method)(request())).results) == []
    item = {"StartCheckouts": pb.StartCheckout, "GetCheckouts": pb.GetCheckout, "CancelCheckouts": pb.CancelCheckout}
    with pytest.raises(grpc.aio.AioRpcError, match="at most 256 items") as error:
        await getattr(stub, method)(request(items=[item[method]()] * 257))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


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


async def test_lists(stub, sessions, user, make_claim, bring):
    """A list has what runs and what has just ended, oldest first, and no more than was asked for."""
    made = [await sessions.claim(make_claim(user + number * 10**9)) for number in range(4)]
    await bring(sessions, made[1], Step.COMPLETED)

    async def ids(**asked):
        listed = await stub.ListCheckouts(pb.ListCheckoutsRequest(origin=pb.REST, **asked))
        return [one.id for one in listed.checkouts]

    everything = [one.id for one in made]
    assert await ids() == [made[0].id, *everything[2:]]
    assert await ids(ended_within_ms=2**32 - 1, most=2**32 - 1) == everything
    assert await ids(ended_within_ms=60_000, most=2) == everything[:2]


@pytest.mark.parametrize("origin", [0, 7])
async def test_a_list_of_nothing(stub, origin):
    """A list needs an origin."""
    with pytest.raises(grpc.aio.AioRpcError, match="origin must be REST or RESOURCE") as error:
        await stub.ListCheckouts(pb.ListCheckoutsRequest(origin=origin))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


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
        session, Claim(user, session.key, (Line("", 2, "Mouse", 5, 1),), "USD", 0, ())
    )
    yield session
    for step in (Step.RESERVED, Step.PAYING, Step.PAID, Step.COMPLETED):
        session = await sessions.move(session, take(session, Move(step), datetime.now(UTC)))
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
            wishes = [start(user, f"k{number}-{one}", items) for one in range(20)]
            reply = await stub.StartCheckouts(pb.StartCheckoutsRequest(items=wishes))
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


async def test_a_conflict_says_what_a_program_needs(user):
    """Beside its words a conflict names the running checkout, or the products that are gone, of its own item alone."""

    class Refusing:
        async def start(self, wishes):
            missing = UnknownProducts([MissingProduct(404, "Typewriter"), MissingProduct(405)])
            return [missing if wish.key == "gone" else AnotherRunning("c9") for wish in wishes]

    items = [pb.StartCheckout(user_id=user, origin=pb.REST, idempotency_key=key) for key in ("gone", "busy")]
    reply = await CheckoutApi(Refusing(), None, None).StartCheckouts(pb.StartCheckoutsRequest(items=items), None)
    gone, busy = reply.results
    assert (gone.refusal.code, busy.refusal.code) == (PRECONDITION, PRECONDITION)
    assert gone.refusal.message == "not in the catalogue: Typewriter (product 404), product 405"
    named = [(one.product_id, one.product_name) for one in gone.unknown_products]
    assert (named, gone.running_checkout_id) == ([(404, "Typewriter"), (405, "")], "")
    assert (list(busy.unknown_products), busy.running_checkout_id) == ([], "c9")
