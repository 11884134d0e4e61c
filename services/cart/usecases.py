"""Reading and editing carts as shoppers see them: with the names and prices of now. Every method takes the items of many users."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.cart.changes import Cache, Carts, CartWriter, Lease
from services.cart.domain import (
    Cart,
    Change,
    Purchase,
    UnknownProduct,
    add,
    check_quantity,
    clear,
    remove,
    remove_bought,
    set_quantity,
    with_names,
)
from services.errors import Unavailable


@dataclass(frozen=True, slots=True)
class ListedProduct:
    """A product as the catalogue shows it; the price is in minor units."""

    name: str
    price_minor: int


Products = Mapping[int, ListedProduct]
"""The products that can be bought, by id."""


class Catalogue(Protocol):
    """The products that can be bought, at most a second old."""

    async def products(self) -> Products:
        """Return the products by id; Unavailable when they are not known.

        The mapping does not change: another one is returned once a product has changed.
        """


@dataclass(frozen=True, slots=True)
class CartView:
    """A cart with the names and prices of now; a line whose product is not in `products` cannot be bought.

    Without `products` it is the document itself, which a claim asks for: with the names that were kept, and no prices.
    """

    cart: Cart
    products: Products | None


Edit = Callable[[Products], Change]
"""Returns the change that a shopper asks for, given the products of now; UnknownProduct when one is not in the catalogue."""


def adding(product_id: int, quantity: int) -> Edit:
    """Add to a cart; BadQuantity for a quantity that no request may have."""
    change = add(product_id, quantity)

    def edit(products: Products) -> Change:
        if product_id not in products:
            raise UnknownProduct
        return change

    return edit


def setting(product_id: int, quantity: int) -> Edit:
    """Set the quantity of a line; BadQuantity for a quantity that no request may have."""
    check_quantity(quantity)
    return lambda products: set_quantity(product_id, quantity, listed=product_id in products)


def removing(product_id: int) -> Edit:
    """Remove a line."""
    change = remove(product_id)
    return lambda _: change


class CartService:
    """Reads and edits the carts of all users. Each method returns an outcome or an error for each item, in their order."""

    def __init__(self, carts: Carts, cache: Cache, catalogue: Catalogue, writer: CartWriter) -> None:
        self._carts = carts
        self._cache = cache
        self._catalogue = catalogue
        self._writer = writer

    async def read(self, user_ids: Sequence[int]) -> list[CartView | Exception]:
        """Return the cart of each user, never older than the last acknowledged write."""
        users = list(dict.fromkeys(user_ids))
        found: dict[int, Cart | Exception] = {}
        missed: dict[int, Lease | None] = {}
        for user_id, cached in zip(users, await self._cache.read(users), strict=True):
            if isinstance(cached, Cart):
                found[user_id] = cached
            else:
                missed[user_id] = cached
        if missed:
            found |= await self._read_through(missed)
        shown = await self._shown(found)
        return [shown[user_id] for user_id in user_ids]

    async def for_claim(self, asked: Sequence[tuple[int, Sequence[Purchase]]]) -> list[CartView | Exception]:
        """Remove what was bought from the cart of each (user, purchases), and return the documents themselves."""
        return [one if isinstance(one, Exception) else CartView(one, None) for one in await self.remove_bought(asked)]

    async def edit(self, wanted: Sequence[tuple[int, Edit]]) -> list[CartView | Exception]:
        """Apply the edit of each (user, edit), and keep the names of the products, which are shown once they are gone."""
        try:
            products = await self._catalogue.products()  # first: a change that was made is never reported as failed
        except Unavailable as fault:
            return [fault for _ in wanted]
        names = {product_id: product.name for product_id, product in products.items()}

        def change(edit: Edit) -> Change | UnknownProduct:
            try:
                return with_names(edit(products), names)
            except UnknownProduct as fault:
                return fault

        changes = [(user_id, change(edit)) for user_id, edit in wanted]
        applied = iter(
            await self._writer.change([(user, one) for user, one in changes if not isinstance(one, UnknownProduct)])
        )
        outcomes = [one if isinstance(one, UnknownProduct) else next(applied) for _, one in changes]
        return [one if isinstance(one, Exception) else CartView(one, products) for one in outcomes]

    async def clear(self, user_ids: Sequence[int]) -> list[CartView | Exception]:
        """Remove every line of each user's cart."""
        outcomes = await self._writer.change([(user_id, clear) for user_id in user_ids])
        return [one if isinstance(one, Exception) else CartView(one, {}) for one in outcomes]

    async def remove_bought(self, asked: Sequence[tuple[int, Sequence[Purchase]]]) -> list[Cart | Exception]:
        """Remove what was bought from the cart of each (user, purchases), once."""
        return await self._writer.change([(user_id, remove_bought(bought)) for user_id, bought in asked])

    async def _read_through(self, missed: Mapping[int, Lease | None]) -> dict[int, Cart | Exception]:
        """Read documents, and fill the cache with those for which there is a lease."""
        read = dict(zip(missed, await self._carts.read(list(missed)), strict=True))
        fills = [
            (cart, lease)
            for user_id, cart in read.items()
            if not isinstance(cart, Exception) and (lease := missed[user_id]) is not None
        ]
        if fills:
            await self._cache.fill(fills)
        return read

    async def _shown(self, found: Mapping[int, Cart | Exception]) -> dict[int, CartView | Exception]:
        """Show carts with the products of now; carts without lines need no catalogue."""
        products: Products | Unavailable = {}
        if any(isinstance(cart, Cart) and cart.lines for cart in found.values()):
            try:
                products = await self._catalogue.products()
            except Unavailable as fault:
                products = fault
        return {user_id: _view(cart, products) for user_id, cart in found.items()}


def _view(cart: Cart | Exception, products: Products | Unavailable) -> CartView | Exception:
    if isinstance(cart, Exception):
        return cart
    if isinstance(products, Unavailable):
        return products if cart.lines else CartView(cart, {})
    return CartView(cart, products)
