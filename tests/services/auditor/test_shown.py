"""What is shown: cached carts are their documents, and resources show their checkouts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.auditor.books import CachedCart, Cart, CartLine, Checkout, Resource, Started
from services.auditor.shown import compare_cached, compare_resources

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ENDED = NOW - timedelta(minutes=5)
ID = "1a8f9499-04b9-45f5-8d0e-15fd9a60d51b"
CHECKOUT = Checkout(ID, 7, "items", "COMPLETED", 5, 100, "USD", "an order", (), ENDED)
DOCUMENT = Cart(7, 5, (CartLine("a", 1, 2, ("x",)),))


def test_a_cached_cart_is_its_document():
    """A copy is never ahead. One that is behind, or another cart, counts for as long as readers trust it."""

    def found(cart, *, trusted=True):
        return [one.ids for one in compare_cached(CachedCart(cart, trusted), DOCUMENT, NOW)]

    differs = [{"user_id": "7"}]
    assert found(DOCUMENT) == []
    assert found(replace(DOCUMENT, lines=(CartLine("a", 1, 2),))) == []  # who bought a part of it is not shown
    assert found(replace(DOCUMENT, version=6), trusted=False) == differs
    assert found(replace(DOCUMENT, version=4)) == differs
    assert found(replace(DOCUMENT, lines=())) == differs
    assert found(replace(DOCUMENT, version=4), trusted=False) == []


OTHER = replace(CHECKOUT, id="5a2d1e0e-8f0b-4a4c-9a55-0e4f2a8b7c11")


@pytest.mark.parametrize(
    ("resource", "of", "differs"),
    [
        ({}, {}, False),
        ({"version": 4, "phase": "Paying"}, {}, True),
        ({"version": 4, "phase": "Paying", "mirror_of": ID}, {}, False),
        ({"version": 6}, {}, True),
        ({"phase": "Failed"}, {}, True),
        ({"phase": "Paying"}, {"status": "PROCESSING", "ended_at": None}, False),
        ({"checkout_id": "none"}, {}, True),
        ({"checkout_id": OTHER.id}, {}, True),
        ({"checkout_id": OTHER.id, "mirror_of": ID}, {}, True),
        ({"checkout_id": OTHER.id, "key": "unknown"}, {}, True),
        ({"checkout_id": "", "version": 0, "phase": ""}, {}, True),
        ({"checkout_id": "", "version": 0, "phase": ""}, {"status": "PROCESSING", "ended_at": None}, False),
        ({"checkout_id": "", "version": 0, "phase": "", "key": "unknown"}, {}, False),
        ({"checkout_id": "", "version": 0, "phase": "", "mirror_of": ID}, {}, False),
        ({"checkout_id": ""}, {}, True),
        ({"checkout_id": "", "version": 0, "phase": "Failed"}, {}, True),
        ({"checkout_id": "", "version": 0, "phase": "Failed", "uid": "second"}, {}, False),
        ({"uid": "second"}, {}, False),
        ({"checkout_id": "", "version": 0, "phase": "", "uid": "second"}, {}, True),
    ],
)
def test_a_resource_shows_its_checkout(resource, of, differs):
    """A resource shows the checkout of its own key, is never ahead of it, and shows no other end.

    One that somebody applied shows the end in time, whatever its status was changed to. One that was refused, since its key was
    taken, shows none.
    """
    usual = Resource("default/first", "first", 7, "k", mirror_of="", checkout_id=ID, version=5, phase="Completed")
    own = replace(CHECKOUT, **of)
    checkouts = {ID: own, OTHER.id: OTHER}
    found = list(compare_resources([replace(usual, **resource)], {(7, "k"): Started(own, "first")}, checkouts, NOW))
    assert bool(found) is differs
    assert all(one.ids["name"] == "default/first" and one.ids["checkout_id"] for one in found)


def test_a_resource_has_its_time_to_show_an_old_purchase():
    """One that is created long after the end of the checkout of its key does not show it late from the beginning."""
    young = Resource("default/second", "second", 7, "k", mirror_of="", checkout_id="", version=0, phase="")
    first = replace(young, uid="first")
    started = {(7, "k"): Started(CHECKOUT, "first")}
    assert [one.since for one in compare_resources([young, first], started, {}, NOW)] == [NOW, ENDED]
