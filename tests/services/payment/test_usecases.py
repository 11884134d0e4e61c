"""The processor on both stores: one charge per checkout, and silence is never a refusal."""

import asyncio
from dataclasses import replace

import pytest

from services.errors import Conflict, Invalid, NotFound, OutcomeUnknown, Unavailable
from services.payment.domain import ChargeRequest, OtherPayment, State, UnknownPayment
from tests.plain import assert_plain, edge_ids

REQUEST = ChargeRequest("a", 1, 2999, "USD")


async def test_repeated_charge_gives_the_stored_outcome(processor, bank):
    """A charge whose reply was lost can be sent again; the bank is not asked twice for what is decided."""
    first, again = [*await processor.charge([REQUEST]), *await processor.charge([REQUEST])]
    assert first == again
    assert (first.state, first.provider_ref) == (State.CAPTURED, "ref-a")
    assert bank.charges == ["a"]


async def test_declined_stays_declined(processor, bank):
    """What the bank declined once stays declined for this checkout."""
    bank.mood["a"] = "decline"
    assert [(await processor.charge([REQUEST]))[0].state for _ in range(2)] == [State.DECLINED] * 2


@pytest.mark.parametrize(
    "other", [ChargeRequest("a", 1, 1, "USD"), ChargeRequest("a", 2, 2999, "USD"), ChargeRequest("a", 1, 2999, "EUR")]
)
async def test_another_payment_under_the_same_checkout_is_refused(processor, bank, other):
    """A checkout's payment has one amount, currency and user, whoever asks with its id later."""
    await processor.charge([REQUEST])
    assert isinstance((await processor.charge([other]))[0], OtherPayment)
    assert bank.charges == ["a"]


async def test_dropped_reply_is_undecided_and_then_captured_once(processor, bank, undecided):
    """A lost reply leaves the payment undecided; sent again, it finds the charge that was made."""
    bank.mood["a"] = "drop"
    assert (await processor.charge([REQUEST]))[0].state is State.INTENT
    assert [name for name, _ in undecided] == ["a"]
    assert (await processor.charge([REQUEST]))[0].state is State.CAPTURED
    assert len(bank.ledger) == 1


@pytest.mark.parametrize("fault", [OutcomeUnknown, Unavailable, Invalid, NotFound, Conflict])
async def test_no_fault_of_the_bank_decides_a_payment_or_touches_its_neighbours(processor, bank, undecided, fault):
    """Whatever the bank refuses a request with, the payment stays undecided and those beside it go on."""
    bank.mood["a"] = fault("no")
    answers = await processor.charge([REQUEST, ChargeRequest("b", 1, 100, "USD")])
    assert [answer.state for answer in answers] == [State.INTENT, State.CAPTURED]
    assert len(undecided) == 1


async def test_cancel_that_comes_first_bars_a_late_charge(processor, bank):
    """A charge that arrives after its cancellation is not made."""
    assert (await processor.cancel(["a"]))[0].state is State.CANCELLED
    assert (await processor.charge([REQUEST]))[0].state is State.CANCELLED
    assert bank.charges == []


async def test_cancel_after_capture_comes_too_late(processor):
    """What is captured is never called cancelled."""
    await processor.charge([REQUEST])
    assert (await processor.cancel(["a"]))[0].state is State.CAPTURED


async def test_cancel_of_an_undecided_payment_asks_the_bank(processor, bank):
    """A payment that was captured without our knowing comes to light when it is cancelled, and one that was not is void."""
    bank.mood |= {"a": "drop", "b": OutcomeUnknown("no answer")}
    await processor.charge([REQUEST, ChargeRequest("b", 1, 100, "USD")])
    assert [answer.state for answer in await processor.cancel(["a", "b"])] == [State.CAPTURED, State.CANCELLED]


async def test_charge_against_cancel_ends_as_the_bank_says(processor, bank, payments):
    """However charge and cancel of a checkout meet, all hear one outcome, and a captured one is in the bank's ledger."""
    requests = [ChargeRequest(f"r{n}", 1, 100, "USD") for n in range(20)]
    calls = [
        call for request in requests for call in (processor.charge([request]), processor.cancel([request.checkout_id]))
    ]
    await asyncio.gather(*calls)
    for (end,) in [await processor.charge([request]) for request in requests]:
        assert end.state in {State.CAPTURED, State.CANCELLED}
        captured = bank.ledger.get(end.checkout_id, (None,))[0] is State.CAPTURED
        assert (end.state is State.CAPTURED) == captured


@edge_ids
async def test_ids_of_64_bits_come_back_as_plain_numbers(processor, payments, edge):
    """Users and amounts of any size are charged and cancelled as they were asked for, in the domain's own types."""
    request = ChargeRequest("a", edge, edge, "USD")
    first, again = [*await processor.charge([request]), *await processor.charge([request])]
    assert (first.user_id, first.amount_minor, again) == (edge, edge, first)
    assert_plain(first)
    assert_plain(await processor.cancel(["a", "never charged"]))
    assert_plain(await payments.insert_intent(request))


async def test_a_slow_charge_holds_up_its_neighbours_no_longer_than_it_may(processor, bank):
    """A charge that may not wait for its provider is answered as being asked for; asked again it joins the same charge."""
    answers = asyncio.Event()
    bank.slow["a"] = answers
    asked = [replace(REQUEST, wait=0.05), ChargeRequest("b", 1, 100, "USD", wait=0.05)]
    async with asyncio.timeout(10):
        while (states := [payment.state for payment in await processor.charge(asked)])[1] is State.ASKING:
            pass  # the store takes longer than that on a busy machine
    assert states == [State.ASKING, State.CAPTURED]
    assert (await processor.charge(asked[:1]))[0].state is State.ASKING
    answers.set()
    assert (await processor.charge([replace(REQUEST, wait=5)]))[0].state is State.CAPTURED
    assert sorted(bank.charges) == ["a", "b"]


async def test_a_payment_is_shown_as_it_is_stored(processor, bank, payments):
    """Reading payments gives each one's state, amount and reference, charges nobody, and knows of none where there is none."""
    await processor.charge([REQUEST])
    bank.mood["b"] = "drop"
    await processor.charge([replace(REQUEST, checkout_id="b")])
    charges = list(bank.charges)
    captured, undecided, unknown = await processor.get(["a", "b", "c"])
    assert (captured.payment.state, captured.payment.amount_minor, captured.payment.provider_ref) == (
        State.CAPTURED,
        REQUEST.amount_minor,
        "ref-a",
    )
    assert captured.decided_at is not None
    assert captured.attempts == 1
    assert (undecided.payment.state, undecided.decided_at) == (State.INTENT, None)
    assert isinstance(unknown, UnknownPayment)
    assert bank.charges == charges
