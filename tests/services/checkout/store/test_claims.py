"""Claims on both stores: one claim a key and a cart, and no unit of a cart in two of them."""

import asyncio

import pytest

from services.checkout.domain import Origin, Purchase, Status, Step


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
        assert [one.id for one in await sessions.conflicting(user, version)] == [first.id]


async def test_a_failed_checkout_bars_nothing(sessions, user, make_claim, bring):
    """After a checkout that failed the same cart can be bought."""
    await bring(sessions, await sessions.claim(make_claim(user)), Step.FAILED)
    assert await sessions.conflicting(user, 1) == []
    assert await sessions.uncleared_purchases(user) == []
    assert await sessions.claim(make_claim(user, "other"))


async def test_a_purchase_bars_the_cart_until_its_removal_is_known(sessions, user, make_claim, bring):
    """What was bought cannot be bought again before a claim knows that it is gone from the cart."""
    first = await bring(sessions, await sessions.claim(make_claim(user)), Step.COMPLETED)
    assert await sessions.uncleared_purchases(user) == [Purchase(first.id, (("l1", 2), ("l2", 1)))]
    assert await sessions.claim(make_claim(user, "other", 2)) is None
    assert [one.id for one in await sessions.conflicting(user, 2)] == [first.id]
    assert await sessions.claim(make_claim(user, "other", 2, bought=[first.id]))
    assert await sessions.uncleared_purchases(user) == []


async def test_a_removal_counts_for_later_versions_of_the_cart_alone(sessions, user, make_claim, bring):
    """A claim decided on a version of the cart from before the removal is barred by the purchase."""
    first = await bring(sessions, await sessions.claim(make_claim(user, version=5)), Step.COMPLETED)
    later = await sessions.claim(make_claim(user, "later", 7, bought=[first.id]))
    await bring(sessions, later, Step.FAILED)
    assert await sessions.claim(make_claim(user, "stale", 6)) is None
    assert [one.id for one in await sessions.conflicting(user, 6)] == [first.id]
    assert await sessions.conflicting(user, 7) == []


async def test_a_refused_claim_keeps_what_it_knew_of_the_cart(sessions, user, make_claim, bring):
    """Also a claim that is barred passes on which purchases are gone from the cart."""
    first = await bring(sessions, await sessions.claim(make_claim(user)), Step.COMPLETED)
    assert await sessions.claim(make_claim(user, "k", 3, bought=[first.id])) is None
    assert await sessions.uncleared_purchases(user) == []


async def test_rivals_for_a_cart_and_for_a_key(sessions, user, make_claim):
    """Of claims that meet, with one key or with many, one is made."""
    claims = [make_claim(user, key) for key in ("a", "a", "a", "b", "b", "c", "d", "e")]
    made = [one for one in await asyncio.gather(*map(sessions.claim, claims)) if one]
    assert len(made) == 1
