"""Changes of a cart, purely."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cart.domain import (
    BadPurchase,
    BadQuantity,
    Cart,
    LineFull,
    NotInCart,
    Purchase,
    TooManyLines,
    UnknownProduct,
    add,
    clear,
    new_id,
    remove,
    remove_bought,
    set_quantity,
    with_names,
)


def test_quantities_add_up_to_9999_a_line() -> None:
    """Requests of one product add up; the one that would take the line past 9,999 is refused and changes nothing."""
    cart = Cart(1)
    for _ in range(101):
        cart = add(1, 99)(cart)
    assert cart.lines[0].quantity == 9999
    with pytest.raises(LineFull, match=r"^a line holds at most 9999$"):
        add(1, 1)(cart)
    assert add(2, 99)(cart).lines[1].quantity == 99
    assert set_quantity(1, 5, listed=True)(cart).lines[0].quantity == 5


@pytest.mark.parametrize("bad", [0, -1, 100, 9999])
def test_a_request_has_a_quantity_of_1_to_99(bad: int) -> None:
    """Whatever a line holds, one request adds or sets 1 to 99."""
    with pytest.raises(BadQuantity, match=r"^quantity must be between 1 and 99$"):
        add(2, bad)
    with pytest.raises(BadQuantity, match=r"^quantity must be between 1 and 99$"):
        set_quantity(1, bad, listed=True)


def test_a_cart_has_at_most_a_hundred_lines() -> None:
    """The hundred-and-first product is refused."""
    cart = Cart(1)
    for product in range(1, 101):
        cart = add(product, 1)(cart)
    with pytest.raises(TooManyLines):
        add(101, 1)(cart)


def test_what_is_not_there_is_not_found() -> None:
    """Changing or removing a product that the cart has not is refused."""
    for change in (set_quantity(9, 1, listed=True), set_quantity(9, 1, listed=False), remove(9)):
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


def test_a_line_of_a_gone_product_cannot_be_set() -> None:
    """A line whose product has left the catalogue is not changed, but it can be removed."""
    cart = add(1, 2)(Cart(1))
    with pytest.raises(UnknownProduct, match=r"^product not found$"):
        set_quantity(1, 3, listed=False)(cart)
    assert remove(1)(cart).lines == ()


def test_a_change_notes_the_names_of_its_lines() -> None:
    """Every change keeps the names of the products that are there, leaves those of the others, and writes nothing alone."""
    old = add(2, 1)(add(1, 1)(Cart(1)))  # as a version wrote it that kept no names
    named = with_names(add(3, 1), {1: "Laptop", 3: "Keyboard"})(old)
    assert [line.name for line in named.lines] == ["Laptop", None, "Keyboard"]
    later = with_names(remove(3), {1: "Laptop 2", 2: "Mouse"})(named)
    assert [line.name for line in later.lines] == ["Laptop 2", "Mouse"]
    assert with_names(lambda cart: cart, {1: "Laptop 3"})(later) is later


def test_what_was_bought_whole_leaves_no_line() -> None:
    """A line of which all was bought goes; one of which more was put in since keeps the rest, and knows which checkout bought."""
    cart = add(2, 5)(add(1, 5)(Cart(1)))
    [first, second] = cart.lines
    left = remove_bought([Purchase("c", ((first.line_id, 5), (second.line_id, 3)))])(cart)
    assert [(line.product_id, line.quantity, line.bought) for line in left.lines] == [(2, 2, ("c",))]


def test_a_quantity_is_set_on_its_own_line_alone() -> None:
    """The other lines of the cart stay as they are, whatever is added to or set on one."""
    cart = add(3, 3)(add(2, 2)(add(1, 1)(Cart(1))))
    changed = add(3, 1)(set_quantity(2, 9, listed=True)(cart))
    assert [(line.product_id, line.quantity) for line in changed.lines] == [(1, 1), (2, 9), (3, 4)]


def test_ids_are_those_of_a_document() -> None:
    """A cart and a line have an id of 24 hexadecimal digits, as MongoDB's ObjectId, given by whoever makes ids."""
    ids = iter(["line", "cart"])
    made = add(1, 1, lambda: next(ids))(Cart(1))
    assert (made.lines[0].line_id, made.cart_id) == ("line", "cart")
    assert len(new_id()) == 24
    assert int(new_id(), 16) >= 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (TooManyLines, "a cart holds at most 100 different products"),
        (NotInCart, "item not found in cart"),
        (UnknownProduct, "product not found"),
        (BadPurchase, "a purchased quantity must be positive"),
    ],
)
def test_what_is_refused_says_why(fault: type[Exception], words: str) -> None:
    """Each refusal has its words, which the contract quotes."""
    assert str(fault()) == words


def test_the_name_of_a_gone_product_is_kept() -> None:
    """A change of another line takes nothing from the name of a product that is not in the catalogue any more."""
    cart = with_names(add(1, 1), {1: "Laptop"})(Cart(1))
    changed = with_names(add(2, 1), {2: "Mouse"})(cart)
    assert [line.name for line in changed.lines] == ["Laptop", "Mouse"]
