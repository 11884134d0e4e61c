"""Carts for the tests of the cache, and the reading that brings one into it."""

import asyncio

from services.cart.domain import Cart, Line


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
            await cache.fill(cart_of(user_id, version), lease)
