"""Claims on the real PostgreSQL whose rivals hold the lock of the cart at the worst moment."""

import asyncio

import pytest

from services.checkout.domain import Step
from services.errors import Unavailable

pytestmark = pytest.mark.real
PURCHASE = """
INSERT INTO checkout.checkout_sessions (user_id, origin, idempotency_key, fingerprint, source, step, status, currency,
    cart_version, cart_cleared_version, cancel_after, completed_at)
VALUES ($1, 'rest', 'first', '', 'cart', 'COMPLETED', 'COMPLETED', 'USD', 1, $2, now(), now())"""


@pytest.fixture
def sessions(real_sessions):
    """The real store: these checkouts are kept nowhere else."""
    return real_sessions


@pytest.fixture
def somebody_waits(rival):
    """Wait until a statement waits for a lock of the rival."""

    async def somebody_waits():
        async with asyncio.timeout(5):
            while not await rival.fetch(  # noqa: ASYNC110 - the server's state
                "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            ):
                await asyncio.sleep(0.01)

    return somebody_waits


async def test_a_claim_sees_what_was_bought_while_it_waited(sessions, rival, somebody_waits, user, make_claim):
    """A purchase that is made while a claim waits for its turn bars that claim, though it has ended by then."""
    async with rival.transaction():
        await rival.execute("SELECT pg_advisory_xact_lock($1)", user)
        waiting = asyncio.create_task(sessions.claim(make_claim(user, "second")))
        await somebody_waits()
        await rival.execute(PURCHASE, user, None)
    assert await waiting is None
    [bar] = await sessions.conflicting(user, 1)
    assert (bar.key, bar.step) == ("first", Step.COMPLETED)


async def test_a_claim_sees_what_became_known_of_the_cart_while_it_waited(
    sessions, rival, somebody_waits, user, make_claim
):
    """A claim at an old version of the cart is barred by a removal that is noted while it waits for its turn."""
    await rival.execute(PURCHASE, user, 1)
    async with rival.transaction():
        await rival.execute("SELECT pg_advisory_xact_lock($1)", user)
        waiting = asyncio.create_task(sessions.claim(make_claim(user, "second", 1)))
        await somebody_waits()
        await rival.execute("UPDATE checkout.checkout_sessions SET cart_cleared_version = 2 WHERE user_id = $1", user)
    assert await waiting is None


async def test_a_claim_that_waits_too_long_is_no_refusal(sessions, rival, user, make_claim):
    """A claim whose turn does not come was not made, may be tried again, and says nothing of another checkout."""
    async with rival.transaction():
        await rival.execute("SELECT pg_advisory_xact_lock($1)", user)
        with pytest.raises(Unavailable):
            await sessions.claim(make_claim(user))
    assert await sessions.claim(make_claim(user))


async def test_claims_of_different_users_do_not_wait_for_each_other(sessions, rival, user, make_claim):
    """One user's claim that hangs holds up nobody else."""
    async with rival.transaction():
        await rival.execute("SELECT pg_advisory_xact_lock($1)", user)
        assert await sessions.claim(make_claim(user + 10**9))
