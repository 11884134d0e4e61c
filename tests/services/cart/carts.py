"""Carts for the tests of the cache, the reading that brings one into it, and the ports as one user meets them."""

import asyncio

from services.cart.domain import Cart, Line


class OneCache:
    """The port Cache, for one user at a time. A read gives (cart or None, lease or None)."""

    def __init__(self, cache):
        self.many = cache

    def __getattr__(self, name):
        return getattr(self.many, name)

    async def read(self, user_id):
        [found] = await self.many.read([user_id])
        return (found, None) if isinstance(found, Cart) else (None, found)

    async def fill(self, cart, lease):
        await self.many.fill([(cart, lease)])

    async def begin_write(self, user_id):
        [token] = await self.many.begin_writes([user_id])
        return given(token)

    async def end_write(self, user_id, token):
        await self.many.end_writes([(user_id, token)])


class OneCart:
    """The port Carts, for one user at a time."""

    def __init__(self, carts):
        self.many = carts

    async def get(self, user_id):
        return given(*await self.many.read([user_id]))

    async def replace(self, before, after):
        return given(*await self.many.replace([(before, after)]))


def given(outcome):
    """Give an outcome, or raise the error that it is."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def cart_of(user_id, version):
    """Give a cart of a version."""
    return Cart(user_id, version, "0123", (Line("aa", 1, version, (), "Laptop"),))


async def filled(cache, user_id, version=1):
    """Read and fill until the cache has a cart, and give it."""
    async with asyncio.timeout(10):
        while True:
            cart, lease = await cache.read(user_id)
            if cart:
                return cart
            if lease:
                await cache.fill(cart_of(user_id, version), lease)
