"""A cart as one document, and every change of it as a pure function that returns the next document.

The document is never deleted and its version only grows. A line has an id of its own, new each time it is created, so that
the removal of a late purchase never touches a line that was created after it.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.error_codes import ErrorCode
from services.errors import Invalid, NotFound

MAX_QUANTITY = 99  # of one request
MAX_LINE_QUANTITY = 9999  # of a line, whose requests add up
MAX_LINES = 100


class BadQuantity(Invalid):
    """The quantity of a request is out of bounds."""

    default_code = ErrorCode.QUANTITY_INVALID

    def __init__(self) -> None:
        super().__init__(f"quantity must be between 1 and {MAX_QUANTITY}")


class LineFull(Invalid):
    """The request would make the line larger than a line may be."""

    default_code = ErrorCode.CART_LINE_FULL

    def __init__(self) -> None:
        super().__init__(f"a line holds at most {MAX_LINE_QUANTITY}")


class BadPurchase(Invalid):
    """The quantity of a purchase is not positive."""

    def __init__(self) -> None:
        super().__init__("a purchased quantity must be positive")


class TooManyLines(Invalid):
    """The cart is full."""

    default_code = ErrorCode.CART_FULL

    def __init__(self) -> None:
        super().__init__(f"a cart holds at most {MAX_LINES} different products")


class NotInCart(NotFound):
    """The cart has no line of this product."""

    default_code = ErrorCode.CART_ITEM_NOT_FOUND

    def __init__(self) -> None:
        super().__init__("item not found in cart")


class UnknownProduct(NotFound):
    """No product has this id."""

    default_code = ErrorCode.PRODUCT_NOT_FOUND

    def __init__(self) -> None:
        super().__init__("product not found")


@dataclass(frozen=True, slots=True)
class Line:
    """A product in a cart. `bought` are the checkouts that bought a part of it and left the rest.

    `name` is the product's name at the last change of the cart. It is shown only once the product has left the catalogue.
    None: the line was written by a version that did not keep names.
    """

    line_id: str
    product_id: int
    quantity: int
    bought: tuple[str, ...] = ()
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Cart:
    """A user's cart; `cart_id` is empty while it has no lines.

    `write_id` is new with each write. It tells a write from another one of the same version and content, so that whoever lost a
    reply can see whose write is there. Empty: the cart was written by a version that did not keep it.
    """

    user_id: int
    version: int = 0
    cart_id: str = ""
    lines: tuple[Line, ...] = ()
    updated_at: datetime | None = None
    write_id: str = ""


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a completed checkout bought: (line id, quantity)."""

    checkout_id: str
    lines: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        """Raise BadPurchase when a quantity is not positive: its removal would add to the cart."""
        if any(quantity < 1 for _, quantity in self.lines):
            raise BadPurchase


Change = Callable[[Cart], Cart]


def new_id() -> str:
    """Return a new id in the form of a MongoDB ObjectId."""
    return secrets.token_hex(12)


def add(product_id: int, quantity: int, make_id: Callable[[], str] = new_id) -> Change:
    """Add to the line of a product, or create it. BadQuantity, TooManyLines or LineFull: a bound is exceeded."""
    check_quantity(quantity)

    def change(cart: Cart) -> Cart:
        line = _line(cart, product_id)
        if line is None:
            if len(cart.lines) >= MAX_LINES:
                raise TooManyLines
            return _with(cart, (*cart.lines, Line(make_id(), product_id, quantity)), make_id)
        if line.quantity + quantity > MAX_LINE_QUANTITY:
            raise LineFull
        return _with(cart, _replaced(cart, replace(line, quantity=line.quantity + quantity)), make_id)

    return change


def set_quantity(product_id: int, quantity: int, *, listed: bool) -> Change:
    """Set the quantity of a line; UnknownProduct where its product is not `listed` in the catalogue any more."""
    check_quantity(quantity)

    def change(cart: Cart) -> Cart:
        line = _line(cart, product_id)
        if line is None:
            raise NotInCart
        if not listed:
            raise UnknownProduct
        return _with(cart, _replaced(cart, replace(line, quantity=quantity)))

    return change


def remove(product_id: int) -> Change:
    """Remove a line; NotInCart when there is none."""

    def change(cart: Cart) -> Cart:
        if _line(cart, product_id) is None:
            raise NotInCart
        return _with(cart, tuple(line for line in cart.lines if line.product_id != product_id))

    return change


def clear(cart: Cart) -> Cart:
    """Remove every line."""
    return _with(cart, ())


def with_names(change: Change, names: Mapping[int, str]) -> Change:
    """Return `change`, which now also keeps the names of all listed products; a change of nothing stays one."""

    def named(cart: Cart) -> Cart:
        after = change(cart)
        if after == cart:
            return cart
        return replace(after, lines=tuple(_named(line, names.get(line.product_id)) for line in after.lines))

    return named


def _named(line: Line, name: str | None) -> Line:
    """Return the line with the name of its product; as it is where that is no news, or the product has none."""
    return line if name in (None, line.name) else replace(line, name=name)


def remove_bought(purchases: Sequence[Purchase]) -> Change:
    """Remove what was bought, once: a purchase that was removed before changes nothing."""

    def change(cart: Cart) -> Cart:
        lines = cart.lines
        for purchase in purchases:
            bought = dict(purchase.lines)
            lines = tuple(
                left
                for line in lines
                if (left := _after(line, purchase.checkout_id, bought.get(line.line_id, 0))) is not None
            )
        return _with(cart, lines)

    return change


def _after(line: Line, checkout_id: str, quantity: int) -> Line | None:
    if not quantity or checkout_id in line.bought:
        return line
    if line.quantity <= quantity:
        return None
    return replace(line, quantity=line.quantity - quantity, bought=(*line.bought, checkout_id))


def check_quantity(quantity: int) -> None:
    """Raise BadQuantity when a request may not have this quantity."""
    if not 1 <= quantity <= MAX_QUANTITY:
        raise BadQuantity


def _line(cart: Cart, product_id: int) -> Line | None:
    return next((line for line in cart.lines if line.product_id == product_id), None)


def _replaced(cart: Cart, new: Line) -> tuple[Line, ...]:
    return tuple(new if line.line_id == new.line_id else line for line in cart.lines)


def _with(cart: Cart, lines: tuple[Line, ...], make_id: Callable[[], str] = new_id) -> Cart:
    """Return the cart with these lines: the same one when nothing changed, the next version otherwise."""
    if lines == cart.lines:
        return cart
    cart_id = (cart.cart_id or make_id()) if lines else ""
    return replace(cart, lines=lines, cart_id=cart_id, version=cart.version + 1)
