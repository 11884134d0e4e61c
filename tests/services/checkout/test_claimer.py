"""Claiming for a checkout that was accepted before: what it claims, what it fails by, and what it waits for."""

import asyncio

import pytest

from services.checkout import claims
from services.checkout.claims import Claimer
from services.checkout.domain import (
    CartBusy,
    Line,
    LostLease,
    Origin,
    Reason,
    Resource,
    ResourceRequest,
    Step,
)
from services.checkout.saga import Move
from services.errors import OutcomeUnknown, Unavailable
from tests.services.checkout.claims import bring, make_claim
from tests.services.checkout.shop import SHORT, MemoryCart, MemoryPrices


@pytest.fixture
def cart():
    """A cart with two things in it."""
    cart = MemoryCart()
    cart.add("l1", 1, 2)
    cart.add("l2", 2, 1)
    return cart


@pytest.fixture
def accept(sessions, user):
    """Accept a checkout of a resource: of these items, or of the cart."""

    async def accept(*items):
        return await sessions.accept(ResourceRequest(user, "uid-1", items, Resource("uid-1", "default", "first")))

    return accept


@pytest.fixture
def claimer(sessions, cart):
    """What claims."""
    return Claimer(sessions, cart, MemoryPrices())


class Sessions:
    """The rows, with what becomes of a claim decided by a test."""

    def __init__(self, rows, claim):
        self._rows, self._claim, self.seen = rows, claim, []

    def __getattr__(self, name):
        return getattr(self._rows, name)

    async def claim_accepted(self, session, claim):
        self.seen.append(claim)
        return await self._claim(session, claim)


async def test_the_cart_is_claimed_at_the_prices_of_now(claimer, accept, user, sessions):
    """An accepted checkout of the cart holds the cart's lines, each at its price, under its own user and key."""
    claimed = await claimer.claim(await accept())
    assert claimed.step is Step.CLAIMED
    assert claimed.lines == (Line("l1", 1, "Thing", 100, 2), Line("l2", 2, "Thing", 100, 1))
    assert (claimed.total_minor, claimed.currency) == (300, "USD")
    stored = await sessions.find(user, Origin.RESOURCE, "uid-1")
    assert (stored.step, stored.lines, stored.total_minor) == (Step.CLAIMED, claimed.lines, 300)


async def test_a_claim_carries_the_version_that_was_read(sessions, accept, user, cart):
    """The claim that is stored names the user, the key, the cart's version, and what is known to be gone from the cart."""
    lines = (Line("l0", 1, "Thing", 100, 2),)
    bought = await sessions.claim(make_claim(user, "before", lines=lines))
    await bring(sessions, bought, Step.COMPLETED)
    rows = Sessions(sessions, sessions.claim_accepted)
    await Claimer(rows, cart, MemoryPrices()).claim(await accept())
    [claim] = rows.seen
    assert (claim.user_id, claim.key, claim.cart_version, claim.bought) == (user, "uid-1", cart.version, (bought.id,))
    assert cart.users == {user}


async def test_what_was_bought_is_not_claimed_again(claimer, sessions, accept, user, cart):
    """A purchase whose removal has not reached the cart is taken out of it before the rest is claimed."""
    lines = (Line("l1", 1, "Thing", 100, 2),)
    await bring(sessions, await sessions.claim(make_claim(user, "before", cart.version, lines=lines)), Step.COMPLETED)
    claimed = await claimer.claim(await accept())
    assert [line.line_id for line in claimed.lines] == ["l2"]


async def test_items_are_claimed_without_the_cart(claimer, accept, cart, user, sessions):
    """A resource's own items are claimed at the prices of now, and are no lines of the cart, which is not read."""
    rows = Sessions(sessions, sessions.claim_accepted)
    claimed = await Claimer(rows, cart, MemoryPrices()).claim(await accept((7, 3), (8, 1)))
    assert claimed.lines == (Line(None, 7, "Thing", 100, 3), Line(None, 8, "Thing", 100, 1))
    assert (claimed.step, claimed.total_minor, claimed.currency) == (Step.CLAIMED, 400, "USD")
    [claim] = rows.seen
    assert (claim.user_id, claim.key, claim.cart_version) == (user, "uid-1", None)
    assert cart.reads == 0


async def test_an_empty_cart_fails(claimer, accept, cart):
    """A checkout of an empty cart fails as such."""
    cart.lines.clear()
    assert await claimer.claim(await accept()) == Move(Step.FAILED, Reason.EMPTY_CART)


async def test_unknown_products_fail_with_their_ids(claimer, accept, cart):
    """A checkout of what nobody sells fails, and says which products these are."""
    cart.add("l3", 404)
    cart.add("l4", 405)
    assert await claimer.claim(await accept()) == Move(Step.FAILED, Reason.UNKNOWN_PRODUCT, "product 404, product 405")


async def test_a_catalogue_that_is_away_is_no_failure(sessions, accept, cart):
    """A product whose price cannot be asked for leaves the checkout accepted, to be claimed later."""

    class Away(MemoryPrices):
        async def priced(self, product_ids):
            return [Unavailable("product is unavailable") for _ in product_ids]

    session = await accept()
    with pytest.raises(Unavailable, match="product is unavailable"):
        await Claimer(sessions, cart, Away()).claim(session)
    assert (await sessions.load(session.id)).step is Step.ACCEPTED


async def test_a_catalogue_that_answers_for_too_few_is_an_error(sessions, accept, cart):
    """A line whose price did not come is never left out of what is bought."""

    class Short(MemoryPrices):
        async def priced(self, product_ids):
            return (await super().priced(product_ids))[:-1]

    with pytest.raises(ValueError, match="shorter"):
        await Claimer(sessions, cart, Short()).claim(await accept())


async def test_it_waits_for_another_checkout_of_the_cart(claimer, sessions, accept, user, monkeypatch):
    """While another checkout of the cart runs, an accepted one waits, for so long at most, and says for which."""
    monkeypatch.setattr(claims, "MAX_WAIT_SECONDS", 0.7)
    running = await sessions.claim(make_claim(user, "before"))
    with pytest.raises(CartBusy, match=f"^waits for checkout {running.id} of the cart$") as waiting:
        await claimer.claim(await accept())
    assert waiting.value.retry_after == 0.7


@pytest.mark.parametrize("items", [(), ((7, 1),)])
async def test_a_lost_reply_to_a_claim_that_was_made(sessions, accept, cart, items):
    """A claim whose reply is lost is looked for, and goes on as it was stored."""

    async def made(session, claim):
        await sessions.claim_accepted(session, claim)
        raise OutcomeUnknown("the connection to the database was lost")

    claimed = await Claimer(Sessions(sessions, made), cart, MemoryPrices()).claim(await accept(*items))
    assert claimed == await sessions.load(claimed.id)
    assert claimed.step is Step.CLAIMED


async def test_a_lost_reply_to_a_claim_that_was_not_made(sessions, accept, cart):
    """A claim that was lost on its way stays unknown, so that it is tried again."""

    async def lost(session, claim):
        raise OutcomeUnknown("the connection to the database was lost")

    with pytest.raises(OutcomeUnknown):
        await Claimer(Sessions(sessions, lost), cart, MemoryPrices()).claim(await accept())


async def test_a_lost_reply_and_another_driver(sessions, table, accept, cart):
    """Where the claim was made, but another process drives the checkout by now, the one that lost the reply lets go."""
    session = await accept()

    async def made(session, claim):
        await sessions.claim_accepted(session, claim)
        await table.lapse(session.id)
        await table.sessions("other").take_over(1)
        raise OutcomeUnknown("the connection to the database was lost")

    with pytest.raises(OutcomeUnknown):
        await Claimer(Sessions(sessions, made), cart, MemoryPrices()).claim(session)


async def test_items_whose_claim_is_refused_have_another_driver(sessions, accept, cart):
    """Nothing conflicts with a resource's own items, so a claim that is not stored has lost its lease."""

    async def refused(session, claim):
        return None

    session = await accept((7, 1))
    with pytest.raises(LostLease, match=session.id):
        await Claimer(Sessions(sessions, refused), cart, MemoryPrices()).claim(session)


async def test_a_claim_that_is_always_barred_gives_up(sessions, accept, cart, monkeypatch):
    """A claim that something bars again and again is given up in time, to be tried again a second later."""
    monkeypatch.setattr(claims, "CLAIM_SECONDS", SHORT)

    async def barred(session, claim):
        await asyncio.sleep(0)

    with pytest.raises(Unavailable, match=r"^the cart is being bought; try again$") as refusal:
        await Claimer(Sessions(sessions, barred), cart, MemoryPrices()).claim(await accept())
    assert refusal.value.retry_after == 1
    assert cart.reads > 0


async def test_a_purchase_that_was_missed_is_taken_out(sessions, accept, user, cart):
    """A purchase that ended while the cart was read bars the claim; it is taken out of the cart, and the rest is claimed."""
    ids = []

    async def rival():
        lines = (Line("l1", 1, "Thing", 100, 1),)
        bought = await sessions.claim(make_claim(user, "before", cart.version, lines=lines))
        ids.append((await bring(sessions, bought, Step.COMPLETED)).id)

    cart.after = [rival]
    claimed = await Claimer(sessions, cart, MemoryPrices()).claim(await accept())
    assert [(line.line_id, line.quantity) for line in claimed.lines] == [("l1", 1), ("l2", 1)]
    assert cart.lines["l1"] == (1, 1, frozenset(ids)), "what is taken out is known as that purchase, and so only once"
    assert cart.reads == 2


async def test_a_stale_session_claims_nothing(claimer, accept, sessions, table):
    """A driver whose lease another process has taken over stores no claim."""
    session = await accept()
    await table.lapse(session.id)
    await table.sessions("other").take_over(1)
    with pytest.raises(LostLease, match=session.id):
        await claimer.claim(session)
    assert (await sessions.load(session.id)).step is Step.ACCEPTED
