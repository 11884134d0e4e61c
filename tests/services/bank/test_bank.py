"""The simulated bank over real gRPC, on a ledger in memory and on the real one: it decides once per key, and behaves as it is told."""

import asyncio

import asyncpg
import grpc
import pytest
import structlog

from services.bank.api import ADMIN_SERVICE, SERVICE, BankAdminApi, BankApi
from services.bank.domain import (
    Behaviour,
    Charge,
    Scope,
    State,
    draw_outcome,
)
from services.bank.store import PostgresLedger
from services.bank.usecases import Bank
from services.chassis.migrate import role_of
from services.chassis.postgres import Postgres
from services.chassis.rpc import Server
from services.chassis.telemetry import Metrics
from services.pb import bank_pb2 as pb
from services.pb import bank_pb2_grpc
from tests.plain import assert_plain, edge_ids
from tests.services.bank.memory import MemoryLedger

SECONDS = 5
SHORT_SECONDS = 0.3  # for calls that are never answered


@pytest.fixture
async def db(database):
    """The pool of the bank's own role, in an empty database of these tests' own."""
    url = await database("bank", "TRUNCATE bank.transactions, bank.behaviours", variable="BANK_POSTGRES_URL")
    async with Postgres(url, role=role_of("bank"), schema="bank") as db:
        yield db


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real)])
def ledger(request):
    """The ledger; PostgreSQL is asked for only where it is needed."""
    return MemoryLedger() if request.param == "memory" else PostgresLedger(request.getfixturevalue("db"), Metrics())


@pytest.fixture
def requests(ledger):
    """Give how often each key was asked for."""

    async def requests():
        if isinstance(ledger, MemoryLedger):
            return list(ledger.requests.values())
        return [row["requests"] for row in await ledger._db.fetch("SELECT requests FROM transactions")]

    return requests


@pytest.fixture
async def channel(ledger):
    """A channel to a bank that approves unless it is told otherwise."""
    bank = Bank(ledger, seed="s", success_rate=1, admin=True)
    stopping = asyncio.Event()
    server = Server(structlog.get_logger(), Metrics(), reflect=False)
    port = await server.start(
        "127.0.0.1:0",
        {
            SERVICE: lambda grpc_server: bank_pb2_grpc.add_BankServicer_to_server(BankApi(bank, stopping), grpc_server),
            ADMIN_SERVICE: lambda grpc_server: bank_pb2_grpc.add_BankAdminServicer_to_server(
                BankAdminApi(bank), grpc_server
            ),
        },
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    stopping.set()
    await server.stop(1)


@pytest.fixture
def stub(channel):
    """The bank."""
    return bank_pb2_grpc.BankStub(channel)


@pytest.fixture
def tell(channel):
    """Tell the bank how to behave."""
    admin = bank_pb2_grpc.BankAdminStub(channel)

    async def tell(behaviour, times=0, **whom):
        await admin.SetBehaviour(pb.SetBehaviourRequest(behaviour=behaviour, times=times, **whom), timeout=SECONDS)

    return tell


def charge(key="k", **other):
    """Give a charge of 29.99 by user 1."""
    return pb.ChargeRequest(**{"key": key, "amount_minor": 2999, "currency": "USD", "user_id": 1} | other)


async def refused(call):
    """Give the status code that a call fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_a_key_is_charged_once(stub, requests):
    """However often and at once a charge is sent, there is one transaction, and the repeats are counted."""
    replies = await asyncio.gather(*(stub.Charge(charge(), timeout=SECONDS) for _ in range(10)))
    assert {(reply.state, reply.reference) for reply in replies} == {(pb.CAPTURED, replies[0].reference)}
    assert await requests() == [10]


async def test_a_key_belongs_to_one_charge(stub):
    """Another amount, currency or user under the same key is refused."""
    await stub.Charge(charge(), timeout=SECONDS)
    for other in (charge(amount_minor=1), charge(currency="EUR"), charge(user_id=2)):
        assert await refused(stub.Charge(other, timeout=SECONDS)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_cancel_first_bars_a_late_charge_and_cancel_after_capture_is_too_late(stub):
    """Of charge and cancel, the one that comes first decides."""
    assert (await stub.Cancel(pb.CancelRequest(key="k"), timeout=SECONDS)).state == pb.CANCELLED
    assert (await stub.Charge(charge(), timeout=SECONDS)).state == pb.CANCELLED
    await stub.Charge(charge("other"), timeout=SECONDS)
    assert (await stub.Cancel(pb.CancelRequest(key="other"), timeout=SECONDS)).state == pb.CAPTURED


async def test_hang_charges_nothing(stub, tell):
    """A bank told to hang gives no answer and takes no money; once it has done so, it charges."""
    await tell(pb.HANG, times=1, user_id=1)
    assert await refused(stub.Charge(charge(), timeout=SHORT_SECONDS)) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await refused(stub.Get(pb.GetRequest(key="k"), timeout=SECONDS)) is grpc.StatusCode.NOT_FOUND
    assert (await stub.Charge(charge(), timeout=SECONDS)).state == pb.CAPTURED


async def test_charge_and_drop_charges_without_an_answer(stub, tell):
    """A dropped reply hides a charge that was made, which the same charge finds."""
    await tell(pb.CHARGE_AND_DROP, checkout_id="k")
    assert await refused(stub.Charge(charge(), timeout=SHORT_SECONDS)) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await stub.Get(pb.GetRequest(key="k"), timeout=SECONDS)).state == pb.CAPTURED
    assert (await stub.Charge(charge(), timeout=SECONDS)).state == pb.CAPTURED


async def test_the_narrowest_behaviour_counts_and_is_used_up(stub, tell):
    """A checkout's behaviour goes before its user's, and that before everybody's; `times` runs out even under a rush."""
    await tell(pb.DECLINE, everyone=True)
    await tell(pb.APPROVE, times=3, user_id=1)
    await tell(pb.DECLINE, checkout_id="k0")
    assert (await stub.Charge(charge("k0"), timeout=SECONDS)).state == pb.DECLINED
    replies = await asyncio.gather(*(stub.Charge(charge(f"k{n}"), timeout=SECONDS) for n in range(1, 9)))
    assert [reply.state for reply in replies].count(pb.CAPTURED) == 3
    await tell(pb.BEHAVIOUR_UNSPECIFIED, everyone=True)
    assert (await stub.Charge(charge("last"), timeout=SECONDS)).state == pb.CAPTURED


@pytest.mark.parametrize(
    "bad",
    [
        charge(""),
        charge("a\x00"),
        charge("k" * 256),
        charge(amount_minor=0),
        charge(amount_minor=-1),
        charge(currency=""),
    ],
)
async def test_bad_charges_are_refused(stub, bad):
    """What can never be charged is the caller's error."""
    assert await refused(stub.Charge(bad, timeout=SECONDS)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_bad_keys_and_orders_are_refused(stub, channel):
    """A query, a cancellation or an order that names nobody is the caller's error."""
    admin = bank_pb2_grpc.BankAdminStub(channel)
    for call in (
        stub.Get(pb.GetRequest(), timeout=SECONDS),
        stub.Cancel(pb.CancelRequest(key="\n"), timeout=SECONDS),
        admin.SetBehaviour(pb.SetBehaviourRequest(behaviour=pb.HANG), timeout=SECONDS),
        admin.SetBehaviour(pb.SetBehaviourRequest(behaviour=99, everyone=True), timeout=SECONDS),
    ):
        assert await refused(call) is grpc.StatusCode.INVALID_ARGUMENT


def test_the_draw_keeps_to_its_rate_and_to_its_key():
    """A key's outcome is drawn once and for all, and as many are approved as the rate says."""
    drawn_states = [draw_outcome("s", str(n), 0.95) for n in range(10_000)]
    assert drawn_states == [draw_outcome("s", str(n), 0.95) for n in range(10_000)]
    assert 9300 < drawn_states.count(State.CAPTURED) < 9700


@pytest.mark.real
@pytest.mark.parametrize(
    "sql", ["DELETE FROM transactions", "UPDATE transactions SET state = 'CAPTURED'", "CREATE TABLE t (x int)"]
)
async def test_role_may_not_rewrite_the_ledger(db, sql):
    """A decision in the ledger cannot be changed by the bank itself."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.fetch(sql)


async def test_without_admin_no_behaviour_counts(ledger):
    """A behaviour that was set while it could be does not change a bank whose behaviour cannot be set."""
    admin = Bank(ledger, seed="s", success_rate=1, admin=True)
    await admin.set_behaviour(Scope.everybody(), Behaviour.DECLINE, None)
    charge = Charge("left-behind", 1, 100, "USD")
    assert (await Bank(ledger, seed="s", success_rate=1, admin=False).charge(charge)).state is State.CAPTURED
    await admin.reset_behaviour(Scope.everybody())


@edge_ids
async def test_ids_of_64_bits_come_back_as_plain_numbers(ledger, stub, edge):
    """Users and amounts of any size are charged once, and told apart, in the domain's own types."""
    reply = await stub.Charge(charge(user_id=edge, amount_minor=edge), timeout=SECONDS)
    assert (reply.state, reply.amount_minor) == (pb.CAPTURED, edge)
    there = await ledger.find("k")
    assert there.user_id == edge
    assert_plain([there, await ledger.cancel("k"), await ledger.cancel("other")])
    other = charge(user_id=edge, amount_minor=edge - 1 or 2)
    assert await refused(stub.Charge(other, timeout=SECONDS)) is grpc.StatusCode.INVALID_ARGUMENT
