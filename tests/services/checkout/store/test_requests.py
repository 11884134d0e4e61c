"""The checkouts of resources on both stores: accepted first, claimed later, cancelled also before they are known."""

import json

import pytest

from services.checkout.domain import (
    Claim,
    KeyReused,
    Line,
    LostLease,
    Reason,
    Resource,
    ResourceRequest,
    Status,
    Step,
    cart_purchase,
)
from services.checkout.store.rows import json_of, lines_of, stored_lines
from services.checkout.usecases import Checkouts

ITEMS = ((1, 2), (3, 1))


@pytest.fixture
def wanted(user):
    """What a resource with items of its own wants."""
    return ResourceRequest(user, "uid-1", ITEMS, Resource("uid-1", "default", "first"), 30)


async def test_an_accepted_checkout(sessions, wanted):
    """It is there under its key, with what it wants and nothing claimed; a second accept finds the key taken."""
    session = await sessions.accept(wanted)
    assert (session.step, session.status, session.source) == (Step.ACCEPTED, Status.PROCESSING, "items")
    assert [(line.product_id, line.quantity) for line in session.lines] == list(ITEMS)
    assert session.resource == wanted.resource
    assert [(step.name, step.state) for step in session.steps] == [("claim", "running")]
    assert await sessions.accept(wanted) is None
    assert (await sessions.find_accepted(wanted)).id == session.id


async def test_the_same_key_for_something_else(sessions, wanted, user):
    """A key belongs to its items, in whatever order they are written."""
    await sessions.accept(wanted)
    assert await sessions.find_accepted(ResourceRequest(user, "uid-1", ITEMS[::-1]))
    for other in (ResourceRequest(user, "uid-1"), ResourceRequest(user, "uid-1", ((1, 3), (3, 1)))):
        with pytest.raises(KeyReused):
            await sessions.find_accepted(other)


async def test_a_claim_of_items(sessions, wanted, user):
    """It takes the prices, steps on once, and only under its lease."""
    session = await sessions.accept(wanted)
    claim = Claim(user, "uid-1", (Line(None, 1, "Laptop", 100, 2),), "USD")
    claimed = await sessions.claim_accepted(session, claim)
    assert (claimed.step, claimed.total_minor, claimed.currency, claimed.version) == (Step.CLAIMED, 200, "USD", 2)
    assert [(step.name, step.state) for step in claimed.steps] == [("claim", "done"), ("reserve", "running")]
    with pytest.raises(LostLease):
        await sessions.claim_accepted(session, claim)


async def test_a_claim_of_the_cart_waits_for_another(sessions, make_claim, bring, user):
    """While another checkout has the cart nothing is claimed; once it has failed the cart is free."""
    session = await sessions.accept(ResourceRequest(user, "uid-1"))
    other = await sessions.claim(make_claim(user, "by rest", version=3))
    claim = make_claim(user, "uid-1", version=3)
    assert await sessions.claim_accepted(session, claim) is None
    assert [one.id for one in await sessions.conflicting(user, 3)] == [other.id]
    await bring(sessions, other, Step.FAILED)
    assert (await sessions.claim_accepted(session, claim)).step is Step.CLAIMED


async def test_an_accepted_checkout_bars_nobody(sessions, make_claim, user):
    """What has claimed nothing stands in nobody's way."""
    await sessions.accept(ResourceRequest(user, "uid-1"))
    assert await sessions.claim(make_claim(user, "by rest"))


async def test_cancel(sessions, wanted):
    """A running checkout is told; one that was never made has failed, and stays so."""
    assert await sessions.request_cancel(wanted) is None
    tomb = await sessions.insert_tombstone(wanted)
    assert (tomb.status, tomb.step, tomb.reason) == (Status.FAILED, Step.FAILED, Reason.CANCELLED)
    assert await sessions.accept(wanted) is None
    assert await sessions.request_cancel(wanted) is None
    assert (await sessions.find_accepted(wanted)).id == tomb.id


async def test_cancel_of_what_was_never_made(sessions, wanted):
    """Who cancels what has not been seen yet bars its key: accepted later, it has failed and buys nothing."""
    (cancelled,) = await Checkouts(sessions, None, None, notify=None).cancel([wanted])
    assert cancelled.status is Status.FAILED
    assert await sessions.accept(wanted) is None


async def test_cancel_of_a_running_one(sessions, wanted):
    """The driver sees it with its next step."""
    session = await sessions.accept(wanted)
    assert session.cancel is None
    assert (await sessions.request_cancel(wanted)).cancel is Reason.CANCELLED
    assert (await sessions.load(session.id)).cancel is Reason.CANCELLED


async def test_cancel_beside_the_start(sessions, wanted, monkeypatch):
    """A checkout that is accepted just as it is looked for to be cancelled is told all the same."""
    look = sessions.request_cancel

    async def late(asked):
        found = await look(asked)
        await sessions.accept(wanted)  # by another process, or another call of this one
        return found

    monkeypatch.setattr(sessions, "request_cancel", late)
    (cancelled,) = await Checkouts(sessions, None, None, notify=None).cancel([wanted])
    assert cancelled.cancel is Reason.CANCELLED
    assert (await sessions.load(cancelled.id)).cancel is Reason.CANCELLED


def test_an_item_has_no_line_of_a_cart():
    """An item of a resource has no line id: None here, and in a row the empty text, which earlier versions read too."""
    lines = (Line(None, 2, "Mouse", 2999, 1), Line("l1", 1, "Laptop", 129999, 2))
    text = json_of(stored_lines(lines))
    assert [one["line_id"] for one in json.loads(text)] == ["", "l1"]
    assert lines_of(text) == lines
    assert cart_purchase("c1", lines).lines == (("l1", 2),)
