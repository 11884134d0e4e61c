"""Looking checkouts up on both stores."""

import asyncio
import uuid

import pytest

from services.checkout.domain import Origin, Reason, ResourceRequest, Step, UnknownCheckout


async def test_a_checkout_is_its_users_alone(sessions, user, make_claim):
    """Another user's checkout is not given, nor is one that does not exist or whose id is none."""
    mine = await sessions.claim(make_claim(user))
    theirs = await sessions.claim(make_claim(user + 10**9))
    asked = [mine.id, theirs.id, str(uuid.uuid4()), "", "x", mine.id.replace("-", ""), f"{{{mine.id}}}", mine.id]
    found = await asyncio.gather(*(sessions.get(user, checkout_id) for checkout_id in asked))
    assert [one and one.id for one in found] == [mine.id, *[None] * 6, mine.id]


async def test_each_key_is_found_for_itself(sessions, user, make_claim):
    """Keys that are looked up at once are each answered with their own checkout, or with none."""
    mine = await sessions.claim(make_claim(user))
    theirs = await sessions.claim(make_claim(user + 10**9))
    asked = [
        (user, Origin.REST, "k"),
        (user, Origin.RESOURCE, "k"),
        (user, Origin.REST, "other"),
        (user + 10**9, Origin.REST, "k"),
        (user, Origin.REST, "k"),
    ]
    found = await asyncio.gather(*(sessions.find(*key) for key in asked))
    assert [one and one.id for one in found] == [mine.id, None, None, theirs.id, mine.id]


async def test_an_unknown_checkout_cannot_be_loaded(sessions):
    """A row that is not there is UnknownCheckout."""
    with pytest.raises(UnknownCheckout):
        await sessions.load(str(uuid.uuid4()))


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


@pytest.mark.real
async def test_changes(real_sessions, user):
    """A change is seen from a little before the cursor on, with its version."""
    sessions = real_sessions
    session = await sessions.accept(ResourceRequest(user, "uid-1"))
    seen = {checkout_id: (version, at) for checkout_id, version, at in await sessions.changed_since(None)}
    assert seen[session.id][0] == 1
    again = {checkout_id for checkout_id, _, _ in await sessions.changed_since(seen[session.id][1])}
    assert session.id in again
    assert session.id in {one.id for one in await sessions.recent(session.origin, 30, 2000)}
