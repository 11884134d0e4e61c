"""Steps on both stores: each is written once, an end is final, and completing writes one event."""

import asyncio
import json
from datetime import UTC, datetime

import asyncpg
import pytest

from services.checkout.domain import LostLease, Reason, Step
from services.checkout.saga import Move, apply
from tests.services.checkout.claims import moved


async def test_a_step_is_taken_once(sessions, user, make_claim):
    """Of drivers that take the same step one does; the others hear that the lease is lost."""
    session = await sessions.claim(make_claim(user))
    after = moved(session, Step.RESERVED)
    ends = await asyncio.gather(*(sessions.move(session, after) for _ in range(5)), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["LostLease"] * 4 + ["Session"]
    now = await sessions.load(session.id)
    assert (now.step, now.version, now.lease_epoch) == (Step.RESERVED, session.version + 1, 1)
    assert now.steps == after.steps


async def test_an_old_driver_writes_nothing(table, user, make_claim):
    """Who has lost the lease can neither move the saga nor park it, though the step is still the one it knows."""
    old, new = table.sessions("old"), table.sessions("new")
    session = await old.claim(make_claim(user))
    await table.lapse(session.id)
    [taken] = await new.take_over(10)
    with pytest.raises(LostLease):
        await old.move(session, moved(session, Step.RESERVED))
    await old.park(session, "late")
    assert await new.load(session.id) == taken
    assert (await new.move(taken, moved(taken, Step.RESERVED))).step is Step.RESERVED


@pytest.mark.parametrize("end", [Step.COMPLETED, Step.FAILED])
async def test_an_end_is_final(sessions, user, make_claim, bring, end):
    """What has ended moves no more, is not parked, and keeps its answer."""
    ended = await bring(sessions, await sessions.claim(make_claim(user)), end)
    running = moved(await sessions.claim(make_claim(user + 10**9)), Step.RESERVED)
    with pytest.raises(LostLease):
        await sessions.move(ended, running)
    await sessions.park(ended, "late")
    assert await sessions.load(ended.id) == ended


async def test_completing_tells_of_it_once(sessions, table, user, make_claim, bring):
    """A completed checkout has one event, with its order's id and under its user's key, and an answer to replay."""
    ended = await bring(sessions, await sessions.claim(make_claim(user)), Step.COMPLETED)
    assert await table.events() == [(ended.id, str(user), ended.order_id)]
    answer = {"checkout_id": ended.id, "status": "COMPLETED", "order_id": ended.order_id}
    assert json.loads(ended.response_body) == answer
    assert ended.finished_at
    with pytest.raises(LostLease):
        await sessions.move(ended, ended)
    assert len(await table.events()) == 1


async def test_rivals_who_complete_tell_of_it_once(sessions, table, user, make_claim):
    """However many drivers write the last step at once, one event is written."""
    session = await sessions.claim(make_claim(user))
    for step in (Step.RESERVED, Step.PAYING, Step.PAID):
        session = await sessions.move(session, moved(session, step))
    last = moved(session, Step.COMPLETED)
    await asyncio.gather(*(sessions.move(session, last) for _ in range(5)), return_exceptions=True)
    assert len(await table.events()) == 1


async def test_failing_tells_nobody(sessions, table, user, make_claim, bring):
    """A failed checkout writes no event; its answer says why."""
    ended = await bring(sessions, await sessions.claim(make_claim(user)), Step.FAILED)
    assert await table.events() == []
    assert ended.reason is Reason.PAYMENT_DECLINED
    assert json.loads(ended.response_body) == {
        "checkout_id": ended.id,
        "status": "FAILED",
        "reason": "PaymentDeclined",
    }


async def test_a_failure_keeps_what_made_it(sessions, user, make_claim):
    """What a move to the end says about the failure stays with the checkout, for people."""
    session = await sessions.claim(make_claim(user))
    session = await sessions.move(session, moved(session, Step.RELEASING, Reason.OUT_OF_STOCK))
    failed = apply(session, Move(Step.FAILED, None, "product 404"), datetime.now(UTC))
    assert (await sessions.move(session, failed)).last_error == "product 404"
    assert (await sessions.load(session.id)).last_error == "product 404"


@pytest.mark.real
async def test_a_step_and_its_event_are_written_together(real_sessions, rival, user, make_claim, bring):
    """Where the event cannot be written the checkout is not completed either."""
    sessions = real_sessions
    session = await sessions.claim(make_claim(user))
    await rival.execute("ALTER TABLE checkout.outbox_events ADD CONSTRAINT nothing CHECK (false) NOT VALID")
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await bring(sessions, session, Step.COMPLETED)
    finally:
        await rival.execute("ALTER TABLE checkout.outbox_events DROP CONSTRAINT nothing")
    assert (await sessions.load(session.id)).step is Step.PAID
