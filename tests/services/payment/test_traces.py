"""The traces of payments that the resolver brings to an outcome, on both stores."""

import pytest
import structlog

from services.chassis import tracing
from services.chassis.telemetry import Metrics
from services.errors import OutcomeUnknown
from services.payment.domain import ChargeRequest, State
from services.payment.resolver import Resolver

TRACE, STEP = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_each_attempt_belongs_to_the_trace_of_the_purchase(exported, processor, payments, bank, flags):
    """Each attempt is a span below the step that asked for the charge, sampled or not, with a link to it; a failed one says so."""
    traceparent = f"00-{TRACE}-{STEP}-{flags}"
    resolver = Resolver(payments, processor.resolve, structlog.get_logger(), Metrics())
    bank.mood["a"] = OutcomeUnknown("no answer")
    await processor.charge([ChargeRequest("a", 1, 2999, "USD", traceparent=traceparent)])
    exported.clear()
    for mood in (OutcomeUnknown("no answer"), ZeroDivisionError(), None):
        bank.mood["a"] = mood
        await resolver.run_once()
    attempts = [one for one in exported if one.name == "payment.resolve"]
    assert [one.error for one in attempts] == ["Undecided", "ZeroDivisionError", None]
    for one in attempts:
        assert (one.trace_id, one.parent_id, list(one.links)) == (TRACE, STEP, [traceparent])
        assert one.attributes == {"cartwright.checkout_id": "a"}


async def test_a_resolver_that_finds_nothing_makes_no_span(exported, processor, payments):
    """To look for undecided payments is in no trace, however long it takes."""
    tracing.use(tracing.Recorder(exported.append, ratio=1, slow_seconds=0.0))
    await processor.charge([ChargeRequest("a", 1, 2999, "USD")])
    exported.clear()
    assert await Resolver(payments, processor.resolve, structlog.get_logger(), Metrics()).run_once() == 0
    assert exported == []


async def test_a_payment_of_no_known_trace_is_resolved(exported, processor, payments, bank):
    """A payment from a time without traces is resolved as any other, and is no part of a trace."""
    bank.mood["a"] = "drop"
    [payment] = await processor.charge([ChargeRequest("a", 1, 2999, "USD")])
    assert payment.state is State.INTENT
    assert await Resolver(payments, processor.resolve, structlog.get_logger(), Metrics()).run_once() == 1
    assert [one.name for one in exported] == []
