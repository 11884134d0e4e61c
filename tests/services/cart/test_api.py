"""Carts as callers have them: what a shopper is shown of a product that left the catalogue, and what a claim is given."""

import secrets
from datetime import UTC, datetime

import pytest

from services.cart.api import CartApi
from services.cart.changes import CartWriter
from services.cart.domain import Cart, add
from services.cart.usecases import CartService, ListedProduct
from services.pb import cart_pb2 as pb

INVALID, NOT_FOUND = 3, 5  # gRPC status codes


class Catalogue:
    """Fits the port Catalogue; products leave it when a test takes them out. As the real one, it is the same object until then."""

    def __init__(self):
        self.there = {1: ListedProduct("Laptop", 129999), 2: ListedProduct("Mouse", 2999)}
        self._given = {}

    async def products(self):
        if self._given != self.there:
            self._given = dict(self.there)
        return self._given


@pytest.fixture
def user_id():
    """Give a user whom nobody has been before."""
    return secrets.randbelow(2**31 - 1) + 1


@pytest.fixture
def catalogue():
    """A catalogue of two products."""
    return Catalogue()


@pytest.fixture
def api(carts, cache, catalogue):
    """The service on either store and either cache."""
    now = datetime.now(UTC).replace(microsecond=0)
    writer = CartWriter(carts.many, cache.many, clock=lambda: now)
    return CartApi(CartService(carts.many, cache.many, catalogue, writer))


@pytest.fixture
def ask(api, user_id):
    """Ask for one item of the user's, and give its result."""

    async def ask(method, **words):
        item, request = {
            "GetCarts": (pb.GetCart, pb.GetCartsRequest),
            "AddItems": (pb.AddItem, pb.AddItemsRequest),
            "SetQuantities": (pb.SetQuantity, pb.SetQuantitiesRequest),
            "RemoveItems": (pb.RemoveItem, pb.RemoveItemsRequest),
        }[method]
        reply = await getattr(api, method)(request(items=[item(user_id=user_id, **words)]), None)
        return reply.results[0]

    return ask


def shown(result):
    """(name, price, whether it cannot be bought) of each line."""
    return [(line.product_name, line.unit_price_minor, line.unavailable) for line in result.cart.lines]


async def test_a_line_keeps_its_name_when_its_product_is_gone(ask, catalogue):
    """A product that left the catalogue is shown with its name, without a price, as one that cannot be bought."""
    await ask("AddItems", product_id=1, quantity=1)
    await ask("AddItems", product_id=2, quantity=3)
    del catalogue.there[2]
    lines = [("Laptop", 129999, False), ("Mouse", 0, True)]
    for _ in range(2):  # out of the store, then out of the cache
        assert shown(await ask("GetCarts")) == lines
    assert shown(await ask("AddItems", product_id=1, quantity=1)) == lines


async def test_a_name_is_that_of_the_catalogue_while_it_has_one(ask, catalogue):
    """A product that was renamed, or came back, is shown as the catalogue has it, and not as the cart kept it."""
    await ask("AddItems", product_id=2, quantity=3)
    kept = catalogue.there.pop(2)
    assert shown(await ask("GetCarts")) == [("Mouse", 0, True)]
    catalogue.there[2] = ListedProduct("Trackball", kept.price_minor)
    assert shown(await ask("GetCarts")) == [("Trackball", 2999, False)]


async def test_a_cart_that_is_read_again_is_shown_as_it_is_now(ask, catalogue):
    """What was made for one reader is kept for the next, but shows neither an old price nor what a reader did with it."""
    await ask("AddItems", product_id=1, quantity=1)
    for _ in range(3):
        result = await ask("GetCarts")
        assert shown(result) == [("Laptop", 129999, False)]
        result.cart.lines[0].product_name = "changed by whoever got it"
    catalogue.there[1] = ListedProduct("Laptop", 99999)
    assert shown(await ask("GetCarts")) == [("Laptop", 99999, False)]
    await ask("SetQuantities", product_id=1, quantity=2)
    assert [line.quantity for line in (await ask("GetCarts")).cart.lines] == [2]


async def test_a_gone_product_can_only_be_removed(ask, catalogue):
    """A line whose product is gone is neither added to nor set, and goes when it is removed."""
    await ask("AddItems", product_id=2, quantity=3)
    del catalogue.there[2]
    for method in ("AddItems", "SetQuantities"):
        refusal = (await ask(method, product_id=2, quantity=1)).refusal
        assert (refusal.code, refusal.message) == (NOT_FOUND, "product not found")
    refusal = (await ask("SetQuantities", product_id=9, quantity=1)).refusal
    assert (refusal.code, refusal.message) == (NOT_FOUND, "item not found in cart")
    assert shown(await ask("RemoveItems", product_id=2)) == []


async def test_a_line_without_a_name_is_called_by_its_id(ask, carts, catalogue, user_id):
    """A line of before names were kept is called by its id once its product is gone; any change notes all names."""
    await carts.replace(Cart(user_id), add(2, 3)(Cart(user_id)))
    mouse = catalogue.there.pop(2)
    assert shown(await ask("GetCarts")) == [("product 2", 0, True)]
    assert shown(await ask("GetCarts", for_claim=True)) == [("", 0, False)]
    catalogue.there[2] = mouse
    await ask("AddItems", product_id=1, quantity=1)
    del catalogue.there[2]
    assert shown(await ask("GetCarts")) == [("Mouse", 0, True), ("Laptop", 129999, False)]


async def test_a_claim_is_given_the_document(ask, catalogue):
    """A claim gets the lines as they are kept, with their names and no prices, whatever the catalogue says."""
    await ask("AddItems", product_id=2, quantity=3)
    del catalogue.there[2]
    assert shown(await ask("GetCarts", for_claim=True)) == [("Mouse", 0, False)]


async def test_what_is_out_of_bounds(ask):
    """A request has a quantity of 1 to 99, a line holds at most 9,999; each is refused in words that say which."""
    for quantity in (0, -1, 100, 2**31 - 1):
        for method in ("AddItems", "SetQuantities"):
            refusal = (await ask(method, product_id=1, quantity=quantity)).refusal
            assert (refusal.code, refusal.message) == (INVALID, "quantity must be between 1 and 99")
    for _ in range(101):
        result = await ask("AddItems", product_id=1, quantity=99)
    assert result.cart.lines[0].quantity == 9999
    refusal = (await ask("AddItems", product_id=1, quantity=1)).refusal
    assert (refusal.code, refusal.message) == (INVALID, "a line holds at most 9999")
    assert (await ask("SetQuantities", product_id=1, quantity=99)).cart.lines[0].quantity == 99
