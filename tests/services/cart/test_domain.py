"""Changes of a cart, purely."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cart.domain import (
    BadQuantity,
    Cart,
    NotInCart,
    Purchase,
    TooManyLines,
    add,
    clear,
    remove,
    remove_bought,
    set_quantity,
)


def test_quantities_add_up_and_are_bounded() -> None:
    """Adding what is there adds up, and the sum is bounded as the quantity is."""
    cart = add(1, 60)(add(1, 39)(Cart(1)))
    assert cart.lines[0].quantity == 99
    with pytest.raises(BadQuantity):
        add(1, 1)(cart)
    for bad in (0, -1, 100):
        with pytest.raises(BadQuantity):
            add(2, bad)
        with pytest.raises(BadQuantity):
            set_quantity(1, bad)


def test_a_cart_has_at_most_a_hundred_lines() -> None:
    """The hundred-and-first product is refused."""
    cart = Cart(1)
    for product in range(1, 101):
        cart = add(product, 1)(cart)
    with pytest.raises(TooManyLines):
        add(101, 1)(cart)


def test_what_is_not_there_is_not_found() -> None:
    """Changing or removing a product that the cart has not is refused."""
    for change in (set_quantity(9, 1), remove(9)):
        with pytest.raises(NotInCart):
            change(Cart(1))


def test_cart_id_lives_as_long_as_there_are_lines() -> None:
    """The first line brings an id, the last takes it away, the next brings another; the version only grows."""
    first = add(1, 1)(Cart(1))
    empty = clear(first)
    again = add(1, 1)(empty)
    assert first.cart_id
    assert empty.cart_id == ""
    assert again.cart_id not in {"", first.cart_id}
    assert [cart.version for cart in (first, empty, again)] == [1, 2, 3]
    assert clear(empty) is empty


@given(st.integers(1, 99), st.integers(1, 99), st.permutations(["late", "late", "add"]))
def test_a_purchase_is_removed_once(there: int, bought: int, order: list[str]) -> None:
    """However often and late the removal comes, exactly what was bought leaves the line, and no more."""
    cart = add(1, there)(Cart(1))
    line = cart.lines[0]
    purchase = Purchase("c", ((line.line_id, min(bought, there)),))
    extra = 99 - there
    for what in order:
        cart = (add(1, extra)(cart) if extra else cart) if what == "add" else remove_bought([purchase])(cart)
    left = sum(one.quantity for one in cart.lines)
    assert left == there - min(bought, there) + extra


def test_a_line_made_anew_is_another_line() -> None:
    """A late purchase does not touch a line that was removed and added again."""
    ids = itertools.count()
    old = add(1, 2, lambda: f"id{next(ids)}")(Cart(1))
    new = add(1, 2, lambda: f"id{next(ids)}")(remove(1)(old))
    assert remove_bought([Purchase("c", ((old.lines[0].line_id, 2),))])(new) == new
