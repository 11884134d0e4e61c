"""What the real store adds: the resolver's turn, the ledger that only grows, and a role that may do no more."""

import asyncio

import asyncpg
import pytest
import structlog

from services.chassis.telemetry import Metrics
from services.errors import Invalid, OutcomeUnknown
from services.payment.domain import ChargeRequest, State
from services.payment.resolver import Resolver
from services.payment.store import PostgresPayments
from services.payment.usecases import PaymentProcessor

pytestmark = pytest.mark.real
REQUEST = ChargeRequest("a", 1, 2999, "USD")


@pytest.fixture
def processor(real_payments, bank, undecided):
    """A processor on the real store."""
    return PaymentProcessor(real_payments, bank, on_undecided=lambda *said: undecided.append(said))


async def test_resolver_brings_undecided_payments_to_an_outcome(processor, real_payments, bank):
    """A payment left undecided is resolved by the same charge, and one that the bank refuses does not stop the others."""
    bank.mood |= {"a": "drop", "b": OutcomeUnknown("no answer")}
    await processor.charge([REQUEST, ChargeRequest("b", 1, 100, "USD")])
    bank.mood["b"] = Invalid("another charge")
    resolver = Resolver(real_payments, processor.resolve, structlog.get_logger(), Metrics())
    assert [await resolver.run_once(), await resolver.run_once(), await resolver.run_once()] == [1, 1, 0]
    assert {state for state, _ in bank.ledger.values()} == {State.CAPTURED}


async def test_a_payment_that_fails_unexpectedly_does_not_stop_the_resolver(processor, real_payments, bank):
    """One payment's unexpected failure leaves it undecided and is counted; the others get their outcomes."""
    bank.mood |= {"a": "drop", "b": OutcomeUnknown("no answer")}
    await processor.charge([REQUEST, ChargeRequest("b", 1, 100, "USD")])
    bank.mood["b"] = ZeroDivisionError("secret")
    metrics = Metrics()
    resolver = Resolver(real_payments, processor.resolve, structlog.get_logger(), metrics)
    assert [await resolver.run_once(), await resolver.run_once()] == [1, 1]
    assert metrics.registry.get_sample_value("cartwright_internal_errors_total", {"where": "resolver"}) == 1


async def test_resolver_waits_until_a_payment_is_due(db, bank):
    """A payment whose charge is still under way is left alone."""
    payments = PostgresPayments(db, Metrics(), resolve_after=10)
    await payments.insert_intent(REQUEST)
    assert await payments.take_undecided(10) == []
    await db.fetch("UPDATE payments SET next_attempt_at = clock_timestamp()")
    taken = await asyncio.gather(*(payments.take_undecided(10) for _ in range(5)))
    assert sum(map(len, taken)) == 1
    assert await payments.oldest_undecided_seconds() > 0


async def test_every_state_is_written_down_once(processor, db):
    """The history has each state of a payment once, however often it was asked for."""
    for _ in range(3):
        await processor.charge([REQUEST])
    await processor.cancel(["a"])
    events = await db.fetch("SELECT state FROM payment_events ORDER BY id")
    assert [event["state"] for event in events] == ["INTENT", "CAPTURED"]


async def test_of_two_outcomes_the_first_stands(real_payments):
    """Whoever writes an outcome second reads the first one."""
    await real_payments.insert_intent(REQUEST)
    ends = await asyncio.gather(
        *(real_payments.decide("a", state, "") for state in (State.CAPTURED, State.CANCELLED) for _ in range(5))
    )
    assert len({end.state for end in ends}) == 1


@pytest.mark.parametrize(
    "sql",
    ["CREATE TABLE t (x int)", "DELETE FROM payments", "UPDATE payment_events SET state = 'X'", "DROP TABLE payments"],
)
async def test_role_may_not_do_more_than_it_needs(db, sql):
    """The service's role can neither change tables nor rewrite history."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.fetch(sql)
