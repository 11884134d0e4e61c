"""Leases on both stores: who drives a saga, and how it passes on."""

import asyncio

import pytest

from services.checkout.domain import Step
from tests.services.checkout.claims import moved


@pytest.fixture
def take_when_due():
    """Take over as soon as something is due."""

    async def take_when_due(sessions):
        async with asyncio.timeout(5):
            while not (taken := await sessions.take_over(10)):  # noqa: ASYNC110 - the server's clock
                await asyncio.sleep(0.01)
        return taken

    return take_when_due


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
