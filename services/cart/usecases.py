"""Reading and changing carts.

A change is a pure function under a compare-and-set on the document's version. Around each write stands the cache's
protocol: readers are kept off the cached value before the document changes, and the writer itself never stores one.
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
    clear,
    remove,
    remove_bought,
    set_quantity,
    with_names,
)
from services.errors import Fault, OutcomeUnknown, Unavailable

V = TypeVar("V")
CHANGE_SECONDS = 1.5
"""How long a change is tried. With the last write's own time, 3 s, it stays below the 5 s of the cache's token."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A product as the catalogue shows it; the price is in minor units."""

    name: str
    price_minor: int


class Carts(Protocol):
    """Where the documents are."""

    async def get(self, user_id: int) -> Cart:
        """Read a document from the primary; a cart that was never written is version 0."""

    async def replace(self, before: Cart, after: Cart) -> bool:
        """Write `after` where the document still has the version of `before`; OutcomeUnknown: the reply was lost."""


class Cache(Protocol):
    """The cache of documents. A cache that is away is a miss."""

    async def read(self, user_id: int) -> tuple[Cart | None, str]:
        """Give the cached cart, or the lease under which a reader may fill it; neither while a write is under way."""

    async def fill(self, cart: Cart, lease: str) -> None:
        """Store what was read, if the lease still holds."""

    async def begin_write(self, user_id: int) -> str:
        """Keep readers off the value; give a token, empty once the cache is known to be away.

        Unavailable where it cannot be told: a write that readers may not see must not be acknowledged.
        """

    async def end_write(self, user_id: int, token: str) -> None:
        """Let readers in again, on no value."""


class Catalogue(Protocol):
    """What can be bought, at most a second old."""

    async def products(self) -> Mapping[int, Listed]:
        """Give the products by id; Unavailable when they are not known."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A cart with the names and prices of now; a line whose product is not in `products` cannot be bought."""

    cart: Cart
    products: Mapping[int, Listed]


class CartBook:
    """The carts of all users."""

    def __init__(self, carts: Carts, cache: Cache, catalogue: Catalogue, *, clock: Callable[[], datetime]) -> None:
        self._carts = carts
        self._cache = cache
        self._catalogue = catalogue
        self._clock = clock
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def read(self, user_id: int) -> Shown:
        """Give a user's cart, never older than the last write that was acknowledged."""
        cart, lease = await self._cache.read(user_id)
        if cart is None:
            cart = await self._carts.get(user_id)
            if lease:
                await self._cache.fill(cart, lease)
        return await self._shown(cart)

    async def for_claim(self, user_id: int, bought: Sequence[Purchase]) -> Cart:
        """Take out what was bought, and give the document itself."""
        return await self.remove_bought(user_id, bought) if bought else await self._carts.get(user_id)

    async def add(self, user_id: int, product_id: int, quantity: int) -> Shown:
        """Add to a cart; UnknownProduct for what is not in the catalogue."""
        change = add(product_id, quantity)
        products = await self._catalogue.products()
        if product_id not in products:
            raise UnknownProduct
        return await self._changed(user_id, change, products)

    async def set_quantity(self, user_id: int, product_id: int, quantity: int) -> Shown:
        """Set the quantity of a line; UnknownProduct where its product has left the catalogue."""
        products = await self._catalogue.products()  # first: a change that was made is never reported as failed
        change = set_quantity(product_id, quantity, listed=product_id in products)
        return await self._changed(user_id, change, products)

    async def remove(self, user_id: int, product_id: int) -> Shown:
        """Take a line out."""
        return await self._changed(user_id, remove(product_id), await self._catalogue.products())

    async def clear(self, user_id: int) -> Shown:
        """Take every line out."""
        return Shown(await self._change(user_id, clear), {})

    async def remove_bought(self, user_id: int, bought: Sequence[Purchase]) -> Cart:
        """Take out what was bought, once."""
        return await self._change(user_id, remove_bought(bought))

    async def _shown(self, cart: Cart) -> Shown:
        return Shown(cart, await self._catalogue.products() if cart.lines else {})

    async def _changed(self, user_id: int, change: Change, products: Mapping[int, Listed]) -> Shown:
        """Apply a shopper's change, which also keeps the names of the products for the time after they are gone."""
        names = {product_id: product.name for product_id, product in products.items()}
        return Shown(await self._change(user_id, with_names(change, names)), products)

    async def _change(self, user_id: int, change: Change) -> Cart:
        """Apply a change under the cache's protocol; the lock only makes lost races rare."""
        lock = self._locks.setdefault(user_id, asyncio.Lock())
        async with lock:
            cart = await self._carts.get(user_id)
            if change(cart) == cart:
                return cart
            token = await self._cache.begin_write(user_id)
            try:
                after = await self._compare_and_set(user_id, cart, change)
            except OutcomeUnknown:
                raise  # the write may still land: the token keeps readers off until it has run out
            except Fault:
                await self._cache.end_write(user_id, token)
                raise
            await self._cache.end_write(user_id, token)
            return after

    async def _compare_and_set(self, user_id: int, cart: Cart, change: Change) -> Cart:
        """Apply a change until it is the next version; OutcomeUnknown once a write may be there or not."""
        unsure: list[Cart] = []  # written, perhaps: such a write may also land later
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
                unsure.append(after)
            there = await self._seen_after(user_id, unsure)
            if there in unsure:
                return there
            if unsure and there.version != cart.version:
                raise OutcomeUnknown("the reply to a write was lost, and the cart has changed since")
            cart = there
        if unsure:
            raise OutcomeUnknown("the reply to a write was lost")
        raise Unavailable("the cart is being changed; try again")

    async def _seen_after(self, user_id: int, unsure: Sequence[Cart]) -> Cart:
        try:
            return await self._carts.get(user_id)
        except Unavailable as fault:
            if unsure:
                raise OutcomeUnknown("the reply to a write was lost") from fault
            raise


async def each(work: Sequence[Awaitable[V]]) -> list[V | Fault]:
    """Do several at once; a fault is the outcome of its own."""

    async def one(item: Awaitable[V]) -> V | Fault:
        try:
            return await item
        except Fault as fault:
            return fault

    return list(await asyncio.gather(*(one(item) for item in work)))
