"""Checkouts of resources: accepted first, claimed later, cancelled also before they are known."""

from datetime import UTC, datetime

import pytest

from services.checkout.claims import CartContent, Claimer, Unpriced
from services.checkout.domain import BadItems, Claim, KeyReused, Line, LostLease, Reason, Resource, Status, Step, Wanted
from services.checkout.driver import Driver
from services.checkout.usecases import Checkouts
from services.errors import NotFound

pytestmark = pytest.mark.real
ITEMS = ((1, 2), (3, 1))


@pytest.fixture
def sessions(request, db):
    """The store."""
    from services.checkout.store import PostgresSessions  # noqa: PLC0415 - beside its one use

    return PostgresSessions(db, owner="me", timeout=300)


@pytest.fixture
def wanted(user):
    """What a resource with items of its own wants."""
    return Wanted(user, "uid-1", ITEMS, Resource("uid-1", "default", "first"), 30)


async def test_an_accepted_checkout(sessions, wanted):
    """It is there under its key, with what it wants and nothing claimed; a second accept finds the key taken."""
    session = await sessions.accept(wanted)
    assert (session.step, session.status, session.source) == (Step.ACCEPTED, Status.PROCESSING, "items")
    assert [(line.product_id, line.quantity) for line in session.lines] == list(ITEMS)
    assert session.resource == wanted.resource
    assert [(step.name, step.state) for step in session.steps] == [("claim", "running")]
    assert await sessions.accept(wanted) is None
    assert (await sessions.accepted(wanted)).id == session.id


async def test_the_same_key_for_something_else(sessions, wanted, user):
    """A key belongs to its items, in whatever order they are written."""
    await sessions.accept(wanted)
    assert await sessions.accepted(Wanted(user, "uid-1", ITEMS[::-1]))
    for other in (Wanted(user, "uid-1"), Wanted(user, "uid-1", ((1, 3), (3, 1)))):
        with pytest.raises(KeyReused):
            await sessions.accepted(other)


async def test_a_claim_of_items(sessions, wanted, user):
    """It takes the prices, steps on once, and only under its lease."""
    session = await sessions.accept(wanted)
    claim = Claim(user, "uid-1", (Line("", 1, "Laptop", 100, 2),), "USD", 0, ())
    claimed = await sessions.claim_accepted(session, claim)
    assert (claimed.step, claimed.total_minor, claimed.currency, claimed.version) == (Step.CLAIMED, 200, "USD", 2)
    assert [(step.name, step.state) for step in claimed.steps] == [("claim", "done"), ("reserve", "running")]
    with pytest.raises(LostLease):
        await sessions.claim_accepted(session, claim)


async def test_a_claim_of_the_cart_waits_for_another(sessions, make_claim, bring, user):
    """While another checkout has the cart nothing is claimed; once it has failed the cart is free."""
    session = await sessions.accept(Wanted(user, "uid-1"))
    other = await sessions.claim(make_claim(user, "by rest", version=3))
    claim = make_claim(user, "uid-1", version=3)
    assert await sessions.claim_accepted(session, claim) is None
    assert [one.id for one in await sessions.in_the_way(user, 3)] == [other.id]
    await bring(sessions, other, Step.FAILED)
    assert (await sessions.claim_accepted(session, claim)).step is Step.CLAIMED


async def test_an_accepted_checkout_bars_nobody(sessions, make_claim, user):
    """What has claimed nothing stands in nobody's way."""
    await sessions.accept(Wanted(user, "uid-1"))
    assert await sessions.claim(make_claim(user, "by rest"))


async def test_cancel(sessions, wanted):
    """A running checkout is told; one that was never made has failed, and stays so."""
    assert await sessions.ask_cancel(wanted) is None
    tomb = await sessions.entomb(wanted)
    assert (tomb.status, tomb.step, tomb.reason) == (Status.FAILED, Step.FAILED, Reason.CANCELLED)
    assert await sessions.accept(wanted) is None
    assert await sessions.ask_cancel(wanted) is None
    assert (await sessions.accepted(wanted)).id == tomb.id


async def test_cancel_of_a_running_one(sessions, wanted):
    """The driver sees it with its next step."""
    session = await sessions.accept(wanted)
    assert session.cancel is None
    assert (await sessions.ask_cancel(wanted)).cancel is Reason.CANCELLED
    assert (await sessions.load(session.id)).cancel is Reason.CANCELLED


async def test_cancel_beside_the_start(sessions, wanted, monkeypatch):
    """A checkout that is accepted just as it is looked for to be cancelled is told all the same."""
    look = sessions.ask_cancel

    async def late(asked):
        found = await look(asked)
        await sessions.accept(wanted)  # by another process, or another call of this one
        return found

    monkeypatch.setattr(sessions, "ask_cancel", late)
    (cancelled,) = await Checkouts(sessions, None, None, notify=None).cancel([wanted])
    assert cancelled.cancel is Reason.CANCELLED
    assert (await sessions.load(cancelled.id)).cancel is Reason.CANCELLED


@pytest.mark.parametrize(
    "items", [((0, 1),), ((1, 0),), ((1, 100),), ((1, 1), (1, 2)), tuple((n, 1) for n in range(1, 102))]
)
def test_items_that_cannot_be_bought(items):
    """What no checkout can be made of is refused."""
    with pytest.raises(BadItems):
        Wanted(1, "k", items)


async def test_changes(sessions, wanted):
    """A change is seen from a little before the cursor on, with its version."""
    session = await sessions.accept(wanted)
    seen = {checkout_id: (version, at) for checkout_id, version, at in await sessions.changed_since(None)}
    assert seen[session.id][0] == 1
    again = {checkout_id for checkout_id, _, _ in await sessions.changed_since(seen[session.id][1])}
    assert session.id in again
    assert session.id in {one.id for one in await sessions.recent(session.origin, 30, 2000)}


class NoSuchProducts:
    """Fits the ports Carts and Prices: a cart of products that nobody sells."""

    async def content(self, user_id, bought):
        return CartContent(1, (Unpriced("l1", 404, 1, "Typewriter"),))

    async def priced(self, product_ids):
        return [NotFound("product not found") for _ in product_ids]


@pytest.mark.parametrize(
    ("items", "ids"),
    [
        (((404, 1), (7, 2)), "product 404, product 7"),
        ((), "product 404"),
        (tuple((n, 1) for n in range(1, 101)), ", ".join(f"product {n}" for n in range(1, 16)) + " and 85 more"),
    ],
)
async def test_what_nobody_sells_fails_with_the_ids(sessions, user, items, ids):
    """A resource with products that are not in the catalogue fails as UnknownProduct, and keeps their ids to show."""
    session = await sessions.accept(Wanted(user, "uid-1", items, Resource("uid-1", "default", "first")))
    claimer = Claimer(sessions, NoSuchProducts(), NoSuchProducts())
    driver = Driver(sessions, claimer, None, None, clock=lambda: datetime.now(UTC), observe=lambda _: None)
    ended = await driver.advance(session)
    assert (ended.status, ended.reason, ended.last_error) == (Status.FAILED, Reason.UNKNOWN_PRODUCT, ids)
