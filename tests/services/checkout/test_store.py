"""What both stores of checkouts promise: one claim per key and cart, fenced steps, leases that pass on."""

import asyncio
import json
import uuid
from datetime import UTC, datetime

import pytest

from services.checkout.domain import LostLease, Origin, Purchase, Reason, Status, Step, UnknownCheckout
from services.checkout.saga import Move, take


def moved(session, step, reason=None):
    """The session after a step."""
    return take(session, Move(step, reason), datetime.now(UTC))


@pytest.fixture
def take_when_due():
    """Take over as soon as something is due."""

    async def take_when_due(sessions):
        async with asyncio.timeout(5):
            while not (taken := await sessions.take_over(10)):  # noqa: ASYNC110 - the server's clock
                await asyncio.sleep(0.01)
        return taken

    return take_when_due


async def test_a_claim_keeps_what_was_in_the_cart(sessions, user, make_claim):
    """A claim is kept whole, leased to its claimer, and found by its key and by its id."""
    claim = make_claim(user, version=7)
    session = await sessions.claim(claim)
    assert (session.status, session.step, session.lease_epoch) == (Status.PROCESSING, Step.CLAIMED, 1)
    assert (session.lines, session.total_minor, session.currency) == (claim.lines, 2 * 129999 + 2999, "USD")
    assert [(step.name, step.state) for step in session.steps] == [("claim", "done"), ("reserve", "running")]
    assert await sessions.find(user, Origin.REST, "k") == session
    assert await sessions.load(session.id) == session
    assert (session.cancel, session.reason, session.finished_at) == (None, None, None)


@pytest.mark.parametrize("end", [None, Step.COMPLETED, Step.FAILED])
async def test_a_key_is_claimed_once(sessions, user, make_claim, bring, end):
    """A key that has a checkout gets no second one, whatever became of the first."""
    first = await sessions.claim(make_claim(user))
    if end:
        await bring(sessions, first, end)
    assert await sessions.claim(make_claim(user, version=9, bought=[first.id])) is None
    assert (await sessions.find(user, Origin.REST, "k")).id == first.id


async def test_keys_of_users_and_origins_never_meet(sessions, user, make_claim):
    """Another user may use the same key, and a key of one origin is not found under another."""
    mine = await sessions.claim(make_claim(user))
    theirs = await sessions.claim(make_claim(user + 10**9))
    assert mine.id != theirs.id
    assert await sessions.find(user, Origin.RESOURCE, "k") is None
    assert await sessions.find(user, Origin.REST, "other") is None


async def test_a_running_checkout_bars_the_cart(sessions, user, make_claim):
    """While one checkout of a cart runs no other begins, at no version of the cart, and it is known which bars it."""
    first = await sessions.claim(make_claim(user))
    for version in (0, 1, 99):
        assert await sessions.claim(make_claim(user, "other", version, bought=[first.id])) is None
        assert [one.id for one in await sessions.in_the_way(user, version)] == [first.id]


async def test_a_failed_checkout_bars_nothing(sessions, user, make_claim, bring):
    """After a checkout that failed the same cart can be bought."""
    await bring(sessions, await sessions.claim(make_claim(user)), Step.FAILED)
    assert await sessions.in_the_way(user, 1) == []
    assert await sessions.still_in_cart(user) == []
    assert await sessions.claim(make_claim(user, "other"))


async def test_a_purchase_bars_the_cart_until_its_removal_is_known(sessions, user, make_claim, bring):
    """What was bought cannot be bought again before a claim knows that it is gone from the cart."""
    first = await bring(sessions, await sessions.claim(make_claim(user)), Step.COMPLETED)
    assert await sessions.still_in_cart(user) == [Purchase(first.id, (("l1", 2), ("l2", 1)))]
    assert await sessions.claim(make_claim(user, "other", 2)) is None
    assert [one.id for one in await sessions.in_the_way(user, 2)] == [first.id]
    assert await sessions.claim(make_claim(user, "other", 2, bought=[first.id]))
    assert await sessions.still_in_cart(user) == []


async def test_a_removal_counts_for_later_versions_of_the_cart_alone(sessions, user, make_claim, bring):
    """A claim decided on a version of the cart from before the removal is barred by the purchase."""
    first = await bring(sessions, await sessions.claim(make_claim(user, version=5)), Step.COMPLETED)
    later = await sessions.claim(make_claim(user, "later", 7, bought=[first.id]))
    await bring(sessions, later, Step.FAILED)
    assert await sessions.claim(make_claim(user, "stale", 6)) is None
    assert [one.id for one in await sessions.in_the_way(user, 6)] == [first.id]
    assert await sessions.in_the_way(user, 7) == []


async def test_a_refused_claim_keeps_what_it_knew_of_the_cart(sessions, user, make_claim, bring):
    """Also a claim that is barred passes on which purchases are gone from the cart."""
    first = await bring(sessions, await sessions.claim(make_claim(user)), Step.COMPLETED)
    assert await sessions.claim(make_claim(user, "k", 3, bought=[first.id])) is None
    assert await sessions.still_in_cart(user) == []


async def test_rivals_for_a_cart_and_for_a_key(sessions, user, make_claim):
    """Of claims that meet, with one key or with many, one is made."""
    claims = [make_claim(user, key) for key in ("a", "a", "a", "b", "b", "c", "d", "e")]
    made = [one for one in await asyncio.gather(*map(sessions.claim, claims)) if one]
    assert len(made) == 1


async def test_a_checkout_is_its_users_alone(sessions, user, make_claim):
    """Another user's checkout is not given, nor is one that does not exist or whose id is none."""
    mine = await sessions.claim(make_claim(user))
    theirs = await sessions.claim(make_claim(user + 10**9))
    asked = [mine.id, theirs.id, str(uuid.uuid4()), "", "x", mine.id.replace("-", ""), f"{{{mine.id}}}"]
    assert [one.id for one in await sessions.get(user, asked)] == [mine.id]


async def test_an_unknown_checkout_cannot_be_loaded(sessions):
    """A row that is not there is UnknownCheckout."""
    with pytest.raises(UnknownCheckout):
        await sessions.load(str(uuid.uuid4()))


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
    failed = take(session, Move(Step.FAILED, None, "product 404"), datetime.now(UTC))
    assert (await sessions.move(session, failed)).last_error == "product 404"
    assert (await sessions.load(session.id)).last_error == "product 404"


async def test_what_runs_is_not_taken_over(table, user, make_claim):
    """A saga whose driver holds the lease is left alone, and so is one that has ended."""
    mine, rival = table.sessions("mine"), table.sessions("rival")
    session = await mine.claim(make_claim(user))
    assert await rival.take_over(10) == []
    await table.lapse(session.id)
    assert [one.id for one in await rival.take_over(10)] == [session.id]
    assert await mine.take_over(10) == []


async def test_ended_sagas_are_not_taken_over(table, sessions, user, make_claim, bring):
    """What has ended has no use for a driver."""
    for number, end in enumerate((Step.COMPLETED, Step.FAILED)):
        ended = await bring(sessions, await sessions.claim(make_claim(user + number * 10**9)), end)
        await table.lapse(ended.id)
    assert await sessions.take_over(10) == []


async def test_a_take_over_is_a_new_epoch(table, user, make_claim):
    """Whoever takes a saga over gets it as it stands, with an epoch that nobody had."""
    session = await table.sessions("old").claim(make_claim(user))
    await table.lapse(session.id)
    rivals = [table.sessions(f"w{n}") for n in range(5)]
    [[taken]] = [found for found in await asyncio.gather(*(one.take_over(10) for one in rivals)) if found]
    assert (taken.lease_epoch, taken.step, taken.lines) == (session.lease_epoch + 1, session.step, session.lines)


async def test_those_who_wait_longest_are_taken_first(table, sessions, user, make_claim):
    """Takes no more than asked for, and of those that are due the ones due for the longest time."""
    made = [await sessions.claim(make_claim(user + number * 10**9)) for number in range(5)]
    for session, due in zip(made, (10, 50, 30, 40, 20), strict=True):
        await table.lapse(session.id, due=due)
    rounds = [{one.id for one in await sessions.take_over(2)} for _ in range(4)]
    assert rounds == [{made[1].id, made[3].id}, {made[2].id, made[4].id}, {made[0].id}, set()]


async def test_what_is_parked_for_later_waits(table, sessions, user, make_claim):
    """A saga whose next attempt is not due is left alone, though nobody drives it."""
    session = await sessions.claim(make_claim(user))
    await table.lapse(session.id, due=-3600)
    assert await sessions.take_over(10) == []


async def test_parking_gives_the_lease_up_and_counts(table, sessions, user, make_claim, take_when_due):
    """A parked saga is soon another's to drive, and shows how often its step was tried."""
    session = await sessions.claim(make_claim(user))
    await sessions.park(session, "payment is away")
    assert await table.error(session.id) == "payment is away"
    [taken] = await take_when_due(table.sessions("worker"))
    assert (taken.attempts, taken.steps[-1].attempts, taken.lease_epoch) == (1, 2, 2)
    assert taken.steps[0].attempts == 1
    assert (await sessions.move(taken, moved(taken, Step.RESERVED))).attempts == 0


async def test_a_renewed_lease_holds(table, user, make_claim):
    """A driver keeps what it renews; nobody can renew what is another's."""
    mine, rival = table.sessions("mine"), table.sessions("rival")
    kept, lost = await mine.claim(make_claim(user)), await mine.claim(make_claim(user + 10**9))
    await table.lapse(kept.id, lost.id)
    await mine.renew([kept.id])
    await rival.renew([lost.id])
    assert [one.id for one in await rival.take_over(10)] == [lost.id]


async def test_time_is_up_after_the_timeout(table, user, make_claim):
    """A checkout that is not done within its time says that it shall stop, and why."""
    session = await table.sessions(timeout=-1).claim(make_claim(user))
    assert session.cancel is Reason.TIMED_OUT
    assert (await table.sessions().load(session.id)).cancel is Reason.TIMED_OUT


async def test_the_oldest_running_checkout_is_known(sessions, user, make_claim, bring):
    """The age of the oldest checkout under way is given, and nothing where none is."""
    assert await sessions.oldest_running_seconds() == 0
    session = await sessions.claim(make_claim(user))
    assert 0 < await sessions.oldest_running_seconds() < 60
    await bring(sessions, session, Step.FAILED)
    assert await sessions.oldest_running_seconds() == 0
