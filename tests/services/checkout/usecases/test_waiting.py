"""Waiting for the end of a checkout: whoever drives it, and whoever leaves."""

import asyncio
from dataclasses import replace

import pytest

from services.checkout import usecases
from services.checkout.domain import LostLease, Status
from services.checkout.usecases import CartRequest, Pending
from services.errors import InternalError, OutcomeUnknown, Unavailable
from tests.services.checkout.shop import SHORT, WAIT


async def test_a_shopper_who_will_not_wait_longer_hears_how_it_stands(buy, checkouts, saga, sessions):
    """Past its time a request hears that the checkout runs; the saga goes on, and a drain waits for it."""
    saga.goes.clear()
    started = await buy(wait=SHORT)
    assert (started.session.status, started.replayed) == (Status.PROCESSING, False)
    assert checkouts.driven == [started.session.id]
    saga.goes.set()
    await checkouts.drain()
    assert (await sessions.load(started.session.id)).status is Status.COMPLETED
    assert checkouts.driven == []


async def test_a_shopper_who_leaves_stops_nothing(buy, saga, checkouts, find):
    """A request that is cancelled leaves its checkout running to the end."""
    saga.goes.clear()
    asking = asyncio.create_task(buy())
    await saga.begun.wait()
    asking.cancel()
    await asyncio.wait({asking})
    saga.goes.set()
    await checkouts.drain()
    assert (await find("k")).status is Status.COMPLETED


async def test_a_saga_that_another_drives_is_waited_for(buy, new_process, saga):
    """A repeat that reaches another process waits for the end there too."""
    saga.goes.clear()
    first = await buy(wait=SHORT)
    joined = asyncio.create_task(buy(process=new_process()))
    await asyncio.sleep(0)
    saga.goes.set()
    assert (await joined).session.id == first.session.id
    assert (await joined).session.status is Status.COMPLETED


@pytest.mark.parametrize(
    "fault",
    [Unavailable("payment is away"), OutcomeUnknown("no answer"), LostLease("x"), InternalError(), ValueError()],
)
async def test_what_stops_a_saga_is_no_refusal(buy, saga, stopped, fault):
    """Whatever stops a saga, an unexpected failure too, is reported to the operators; the shopper is told that it runs."""
    saga.fault = fault
    started = await buy(wait=SHORT)
    assert started.session.status is Status.PROCESSING
    assert stopped == [(started.session.id, fault)]


async def test_a_shopper_who_leaves_takes_nobody_along(buy, cart, saga):
    """Requests that joined a claim get their checkout, though the one that began it was cancelled meanwhile."""
    reading, goes_on = asyncio.Event(), asyncio.Event()

    async def slow():
        reading.set()
        await goes_on.wait()

    cart.before = [slow]
    leaving, staying = asyncio.create_task(buy()), asyncio.create_task(buy())
    await reading.wait()
    leaving.cancel()
    await asyncio.wait({leaving})
    goes_on.set()
    assert (await staying).session.status is Status.COMPLETED
    assert len(saga.driven) == 1


async def test_what_is_too_much_is_refused_before_anything_is_claimed(
    buy, checkouts, saga, cart, find, user, monkeypatch
):
    """While as many checkouts run as can, a new one is refused and may be repeated; a running one is still joined."""
    monkeypatch.setattr(usecases, "MOST_RUNNING", 1)
    saga.goes.clear()
    running = await buy(wait=SHORT)
    reads = cart.reads
    [refused] = await checkouts.start([CartRequest(user + 10**9, "other", WAIT)])
    assert isinstance(refused, Unavailable)
    assert (refused.retry_after, cart.reads, await find("other")) == (1, reads, None)
    joined = asyncio.create_task(buy())
    await asyncio.sleep(0)
    saga.goes.set()
    assert (await joined).session.id == running.session.id
    [again] = await checkouts.start([CartRequest(user + 10**9, "other", WAIT)])
    assert not isinstance(again, Unavailable)


async def test_a_slow_saga_holds_up_its_neighbours_no_longer_than_it_may(checkouts, saga, user):
    """A request whose patience is over is answered with the running checkout; asked again it is answered with its end."""
    saga.goes.clear()
    request = CartRequest(user, "k", WAIT, patience=0.05)
    async with asyncio.timeout(10):
        while isinstance(running := (await checkouts.start([request]))[0], Pending):
            pass  # the claim takes longer than that on a busy machine
    assert (running.session.status, running.replayed) == (Status.PROCESSING, False)
    saga.goes.set()
    await checkouts.drain()
    [ended] = await checkouts.start([request])
    assert (ended.session.id, ended.session.status) == (running.session.id, Status.COMPLETED)


async def test_who_asks_again_for_what_runs_here_asks_no_database(checkouts, saga, sessions, user, monkeypatch):
    """A request for a checkout that this process drives, or has just driven to its end, is answered from memory."""
    saga.goes.clear()
    request = CartRequest(user, "k", WAIT, patience=0.05)
    async with asyncio.timeout(10):
        while isinstance(running := (await checkouts.start([request]))[0], Pending):
            pass
    looks = []

    async def look(*key):
        looks.append(key)
        return await lookup(*key)

    lookup = sessions.lookup
    monkeypatch.setattr(sessions, "lookup", look)
    again = asyncio.create_task(checkouts.start([replace(request, patience=None)]))
    await asyncio.sleep(0)
    saga.goes.set()
    [ended] = await again
    assert (ended.session.id, ended.session.status, ended.replayed) == (running.session.id, Status.COMPLETED, False)
    await checkouts.drain()
    [replayed] = await checkouts.start([request])
    assert (replayed.session, replayed.replayed) == (ended.session, True)
    assert looks == []


async def test_a_slow_claim_is_pending(checkouts, cart, user, find):
    """A request whose patience is over before it is claimed is pending; asked again it joins the same claim."""
    goes = asyncio.Event()
    cart.before.append(goes.wait)
    request = CartRequest(user, "k", WAIT, patience=0.05)
    assert await checkouts.start([request]) == [Pending()]
    goes.set()
    [started] = await checkouts.start([replace(request, patience=None)])
    assert (started.session.id, cart.reads) == ((await find("k")).id, 1)


@pytest.mark.parametrize("error", [ZeroDivisionError("unforeseen"), Unavailable("the cart is away")])
async def test_a_claim_that_fails_after_its_request_was_answered_is_logged_if_unexpected(checkouts, cart, user, error):
    """What a claim meets once its request was answered as pending reaches the log, unless it is a fault that a repeat meets too."""
    logged = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context["exception"]))
    goes, ended = asyncio.Event(), asyncio.Event()

    async def fail():
        await goes.wait()
        ended.set()
        raise error

    cart.before.append(fail)
    assert await checkouts.start([CartRequest(user, "k", WAIT, patience=0.05)]) == [Pending()]
    goes.set()
    await ended.wait()
    async with asyncio.timeout(10):
        while checkouts._claiming:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)
    assert logged == ([] if isinstance(error, Unavailable) else [error])
