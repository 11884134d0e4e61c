"""One purchase out of one intention, whoever races and whatever reply is lost."""

import asyncio

import pytest

from services.checkout.domain import AnotherRunning, EmptyCart, Status, Step
from services.errors import Unavailable
from tests.services.checkout.shop import SHORT, LostReply, make_checkouts


async def test_a_refusal_as_empty_takes_a_second_look(buy, cart, new_process, saga):
    """A cart that is empty because the same key bought it elsewhere is no refusal: that checkout is the answer."""

    async def rival():
        await buy(process=new_process())
        cart.lines.clear()

    cart.before = [rival]
    assert (await buy()).session.status is Status.COMPLETED
    assert len(saga.driven) == 1


async def test_a_refusal_as_unknown_takes_a_second_look(buy, cart, new_process, saga):
    """A product that is not sold any more is no refusal where the same key bought the cart without it."""

    async def rival():
        del cart.lines["l2"]
        await buy(process=new_process())

    cart.add("l2", 404)
    cart.after = [rival]
    assert (await buy()).session.status is Status.COMPLETED
    assert len(saga.driven) == 1


async def test_a_barred_claim_takes_a_second_look(buy, cart, new_process, saga):
    """A claim barred by a running checkout of the same key joins it, instead of being refused for another."""
    saga.goes.clear()
    elsewhere = new_process()
    cart.after = [lambda: buy(process=elsewhere, wait=SHORT)]
    joined = asyncio.create_task(buy())
    await saga.begun.wait()
    saga.goes.set()
    assert (await joined).session.status is Status.COMPLETED
    assert len(saga.driven) == 1


async def test_a_lost_reply_to_a_claim_that_was_made_finds_it(buy, sessions, cart, saga):
    """A claim whose reply was lost is looked for: the checkout is the answer, and its key claims no other."""
    process = make_checkouts(LostReply(sessions, made=True), cart, saga.advance)
    started = await buy(process=process, wait=SHORT)
    assert (started.session.status, started.session.key) == (Status.PROCESSING, "k")
    assert (await buy(wait=SHORT)).session.id == started.session.id


async def test_a_lost_reply_to_a_claim_that_was_not_made_is_no_refusal(buy, sessions, cart, saga, find):
    """A claim that was lost on its way may be tried again with the same key, which then buys."""
    process = make_checkouts(LostReply(sessions, made=False), cart, saga.advance)
    assert isinstance(await buy(process=process), Unavailable)
    assert await find("k") is None
    assert (await buy()).session.status is Status.COMPLETED


@pytest.mark.parametrize("processes", [1, 4])
async def test_one_key_many_times_at_once_is_one_checkout(buy, new_process, cart, saga, processes):
    """Sixteen requests with one key, in one process or in several, claim once, drive once and hear the same answer."""
    apart = [new_process() for _ in range(processes)]
    started = await asyncio.gather(*(buy(process=apart[number % processes]) for number in range(16)))
    assert {(one.session.id, one.session.response_body) for one in started} == {
        (started[0].session.id, started[0].session.response_body)
    }
    assert started[0].session.status is Status.COMPLETED
    assert len(saga.driven) == 1
    assert cart.reads <= processes


async def test_many_keys_at_once_buy_the_cart_once(buy, saga):
    """Requests with keys of their own buy each thing once; the others hear of the one that runs, or of nothing to buy."""
    started = await asyncio.gather(*(buy(f"k{number}") for number in range(8)))
    bought = [one for one in started if not isinstance(one, Exception)]
    assert len(bought) == len(saga.driven) == 1
    assert {type(one) for one in started if isinstance(one, Exception)} <= {AnotherRunning, EmptyCart}


async def test_a_purchase_in_the_way_is_taken_out_of_the_cart(buy, cart):
    """What another key bought before its removal reached the cart is removed by the next claim, and the rest is bought."""
    await buy("first")
    cart.add("l2")
    second = (await buy("second")).session
    assert [line.line_id for line in second.lines] == ["l2"]
    assert isinstance(await buy("third"), EmptyCart)


@pytest.mark.parametrize("read", ["before the add", "after the add"])
async def test_a_claim_on_an_old_reading_of_the_cart_buys_nothing_twice(buy, checkouts, cart, saga, read):
    """A slow claim buys only what is left, though the purchase it missed is known to be gone and its rival has failed.

    It reads the cart while the first checkout runs. That one completes; something is added; a second claim learns that
    the purchase is gone, and fails. Nothing but the version of its reading then stands against the slow claim.
    """
    saga.goes.clear()
    await buy("first", wait=SHORT)
    saga.ends["second"] = Step.FAILED

    async def rivals():
        saga.goes.set()
        await checkouts.drain()
        if read == "before the add":
            cart.add("l2")
        assert (await buy("second")).session.step is Step.FAILED

    if read == "after the add":
        cart.add("l2")
    cart.after = [rivals]
    slow = (await buy("slow")).session
    assert (slow.status, [line.line_id for line in slow.lines]) == (Status.COMPLETED, ["l2"])


async def test_a_claim_that_is_always_barred_gives_up_in_time(buy, cart, sessions, find):
    """A claim that something bars again and again ends as unavailable, to be tried again soon, and stores nothing."""

    class Barred(LostReply):
        async def claim(self, claim):
            await asyncio.sleep(0)

    process = make_checkouts(Barred(sessions, made=False), cart, None)
    refusal = await buy(process=process, wait=SHORT)
    assert isinstance(refusal, Unavailable)
    assert refusal.retry_after > 0
    assert await find("k") is None


async def test_a_key_that_ended_elsewhere_while_it_was_claimed_is_the_answer(buy, cart, saga, new_process):
    """A claim that meets its own key, ended and no bar to the cart, gives that end at once and does not ask again."""
    elsewhere = new_process()
    saga.ends["k"] = Step.FAILED
    cart.after = [lambda: buy(process=elsewhere)]
    assert (await buy()).session.status is Status.FAILED
    assert cart.reads == 2
