"""Reading and changing carts.

A change is a pure function under a compare-and-set on the document's version. Each write follows the cache's protocol:
before the document changes the cached value is invalidated and readers bypass the cache; a writer never stores a value.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

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
from services.errors import Fault, InternalError, OutcomeUnknown, Unavailable

V = TypeVar("V")
CHANGE_SECONDS = 1.5
"""How long a change is tried. With the last write's own time, 3 s, it stays below the 5 s of the cache's token."""


@dataclass(frozen=True, slots=True)
class ListedProduct:
    """A product as the catalogue shows it; the price is in minor units."""

    name: str
    price_minor: int


class Carts(Protocol):
    """The store of the documents."""

    async def get(self, user_id: int) -> Cart:
        """Read a document from the primary; a cart that was never written has version 0."""

    async def replace(self, before: Cart, after: Cart) -> bool:
        """Write `after` if the document still has the version of `before`, and return whether it did.

        OutcomeUnknown: the reply was lost.
        """


class Cache(Protocol):
    """The cache of documents. A cache that is unavailable is a miss."""

    async def read(self, user_id: int) -> tuple[Cart | None, str]:
        """Return the cached cart, or the lease under which a reader may fill it; neither while a write is under way."""

    async def fill(self, cart: Cart, lease: str) -> None:
        """Store what was read, if the lease is still valid."""

    async def begin_write(self, user_id: int) -> str:
        """Invalidate the value, and return a token; it is empty once the cache is known to be unavailable.

        Unavailable when neither is certain: a write that readers may not see must not be acknowledged.
        """

    async def end_write(self, user_id: int, token: str) -> None:
        """Let readers use the cache again; it holds no value."""


class Catalogue(Protocol):
    """The products that can be bought, at most a second old."""

    async def products(self) -> Mapping[int, ListedProduct]:
        """Return the products by id; Unavailable when they are not known."""


@dataclass(frozen=True, slots=True)
class CartView:
    """A cart with the names and prices of now; a line whose product is not in `products` cannot be bought."""

    cart: Cart
    products: Mapping[int, ListedProduct]


class CartService:
    """Reads and changes the carts of all users."""

    def __init__(self, carts: Carts, cache: Cache, catalogue: Catalogue, *, clock: Callable[[], datetime]) -> None:
        self._carts = carts
        self._cache = cache
        self._catalogue = catalogue
        self._clock = clock
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def read(self, user_id: int) -> CartView:
        """Return a user's cart, never older than the last acknowledged write."""
        cart, lease = await self._cache.read(user_id)
        if cart is None:
            cart = await self._carts.get(user_id)
            if lease:
                await self._cache.fill(cart, lease)
        return await self._shown(cart)

    async def for_claim(self, user_id: int, bought: Sequence[Purchase]) -> Cart:
        """Remove what was bought, and return the document itself."""
        return await self.remove_bought(user_id, bought) if bought else await self._carts.get(user_id)

    async def add(self, user_id: int, product_id: int, quantity: int) -> CartView:
        """Add to a cart; UnknownProduct for what is not in the catalogue."""
        change = add(product_id, quantity)
        products = await self._catalogue.products()
        if product_id not in products:
            raise UnknownProduct
        return await self._changed(user_id, change, products)

    async def set_quantity(self, user_id: int, product_id: int, quantity: int) -> CartView:
        """Set the quantity of a line; UnknownProduct where its product has left the catalogue."""
        check_quantity(quantity)
        products = await self._catalogue.products()  # first: a change that was made is never reported as failed
        change = set_quantity(product_id, quantity, listed=product_id in products)
        return await self._changed(user_id, change, products)

    async def remove(self, user_id: int, product_id: int) -> CartView:
        """Remove a line."""
        return await self._changed(user_id, remove(product_id), await self._catalogue.products())

    async def clear(self, user_id: int) -> CartView:
        """Remove every line."""
        return CartView(await self._change(user_id, clear), {})

    async def remove_bought(self, user_id: int, bought: Sequence[Purchase]) -> Cart:
        """Remove what was bought, once."""
        return await self._change(user_id, remove_bought(bought))

    async def _shown(self, cart: Cart) -> CartView:
        return CartView(cart, await self._catalogue.products() if cart.lines else {})

    async def _changed(self, user_id: int, change: Change, products: Mapping[int, ListedProduct]) -> CartView:
        """Apply a shopper's change, and keep the names of the products, which are shown once they are gone."""
        names = {product_id: product.name for product_id, product in products.items()}
        return CartView(await self._change(user_id, with_names(change, names)), products)

    async def _change(self, user_id: int, change: Change) -> Cart:
        """Apply a change under the cache's protocol. The lock only makes lost compare-and-sets rare."""
        lock = self._locks.setdefault(user_id, asyncio.Lock())
        async with lock:
            cart = await self._carts.get(user_id)
            if change(cart) == cart:
                return cart
            token = await self._cache.begin_write(user_id)
            try:
                after = await self._compare_and_set(user_id, cart, change)
            except (OutcomeUnknown, InternalError):
                raise  # the write may still be applied: readers bypass the cache until the token expires
            except Fault:
                await self._cache.end_write(user_id, token)
                raise
            await self._cache.end_write(user_id, token)
            return after

    async def _compare_and_set(self, user_id: int, cart: Cart, change: Change) -> Cart:
        """Apply a change until it is the next version; OutcomeUnknown when a write may or may not have been applied."""
        unconfirmed: list[Cart] = []  # writes without a reply, which may be applied later
        ends_at = asyncio.get_running_loop().time() + CHANGE_SECONDS
        while asyncio.get_running_loop().time() < ends_at:
            after = change(cart)
            if after == cart:
                return cart
            after = replace(after, updated_at=self._clock() if after.lines else None)
            try:
                if await self._carts.replace(cart, after):
                    return after
            except OutcomeUnknown:
                unconfirmed.append(after)
            there = await self._read_back(user_id, unconfirmed)
            if there in unconfirmed:
                return there
            if unconfirmed and there.version != cart.version:
                raise OutcomeUnknown("the reply to a write was lost, and the cart has changed since")
            cart = there
        if unconfirmed:
            raise OutcomeUnknown("the reply to a write was lost")
        raise Unavailable("the cart is being changed; try again")

    async def _read_back(self, user_id: int, unconfirmed: Sequence[Cart]) -> Cart:
        try:
            return await self._carts.get(user_id)
        except Unavailable as fault:
            if unconfirmed:
                raise OutcomeUnknown("the reply to a write was lost") from fault
            raise


async def each(work: Sequence[Awaitable[V]]) -> list[V | Exception]:
    """Await all at once; return the result of each, or the error that it raised."""

    async def one(item: Awaitable[V]) -> V | Exception:
        try:
            return await item
        except Exception as error:  # noqa: BLE001 - an outcome, which the server reports where it is unexpected
            return error

    return list(await asyncio.gather(*(one(item) for item in work)))
