"""What a checkout may be asked for, and the words in which it is refused: shoppers and their programs read them."""

import pytest

from services.checkout.domain import (
    AnotherRunning,
    BadItems,
    EmptyCart,
    KeyClaimed,
    KeyReused,
    Line,
    LostLease,
    MissingProduct,
    Purchase,
    ResourceRequest,
    UnknownCheckout,
    UnknownProducts,
    cart_purchase,
)


@pytest.mark.parametrize(
    ("fault", "facts", "words"),
    [
        (EmptyCart, (), "cart is empty"),
        (KeyReused, (), "the idempotency key was used for other items"),
        (UnknownCheckout, (), "checkout not found"),
        (KeyClaimed, (), "the key has a checkout already"),
        (AnotherRunning, ("c1",), "another checkout of this cart is running"),
        (LostLease, ("c1",), "checkout c1 is driven by another process"),
    ],
)
def test_what_is_refused_says_why(fault, facts, words):
    """Each refusal has its words."""
    assert str(fault(*facts)) == words


def test_a_conflict_says_what_a_program_needs():
    """The running checkout has its id, and the products that are gone are named, in words and for a program."""
    assert AnotherRunning("c1").checkout_id == "c1"
    gone = (MissingProduct(7), MissingProduct(8, "Typewriter"))
    fault = UnknownProducts(list(gone))
    assert str(fault) == "not in the catalogue: product 7, Typewriter (product 8)"
    assert (fault.products, fault.ids) == (gone, "product 7, product 8")
    many = UnknownProducts([MissingProduct(n) for n in range(1, 18)])
    assert many.ids == ", ".join(f"product {n}" for n in range(1, 16)) + " and 2 more"


def test_the_most_that_can_be_asked_for():
    """A hundred products, and 1 to 99 of each, are within the bounds."""
    assert len(ResourceRequest(1, "k", tuple((n, 99) for n in range(1, 101))).items) == 100
    assert ResourceRequest(1, "k", ((1, 1),)).items == ((1, 1),)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (tuple((n, 1) for n in range(1, 102)), "items must be at most 100 different products"),
        (((1, 1), (1, 2)), "items must be at most 100 different products"),
        (((0, 1),), "items must be at most 100 different products"),
        (((1, 0),), "quantity must be between 1 and 99"),
        (((1, 100),), "quantity must be between 1 and 99"),
    ],
)
def test_items_out_of_bounds(items, words):
    """One product more, the same product twice, a product that is none, none of it or one too many: each is refused, and says why."""
    with pytest.raises(BadItems, match=words):
        ResourceRequest(1, "k", items)


def test_the_same_items_are_one_intention():
    """The order in which items are written does not matter; what they are does, and the cart is none of them."""
    asked = [ResourceRequest(1, "k", items).intention for items in (((1, 2), (3, 4)), ((3, 4), (1, 2)), ((1, 2),), ())]
    assert asked == ["[(1, 2), (3, 4)]", "[(1, 2), (3, 4)]", "[(1, 2)]", "cart"]


def test_what_was_bought_of_the_cart():
    """Only lines of the cart are to leave it, each with as many as were bought; an item of a resource was in no cart."""
    lines = (Line("l1", 1, "Laptop", 100, 2), Line(None, 2, "Mouse", 10, 3), Line("l3", 3, "Desk", 50, 1))
    assert cart_purchase("c1", lines) == Purchase("c1", (("l1", 2), ("l3", 1)))
