"""What every place that carts are kept in must do: one document a user, changed by a compare-and-set on its version."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from services.cart.domain import Cart, Line, add, clear

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


async def test_a_cart_that_was_never_written(carts, user_id):
    """A user without a document has an empty cart of version 0."""
    assert await carts.get(user_id) == Cart(user_id)


async def test_what_is_written_is_read_back(carts, user_id):
    """Every field of a cart survives, the times to the millisecond."""
    lines = (Line("aa", 1, 2, ("c1", "c2")), Line("bb", 2, 99))
    cart = Cart(user_id, 1, "0123", lines, AT)
    assert await carts.replace(Cart(user_id), cart)
    assert await carts.get(user_id) == cart
    empty = replace(clear(cart), updated_at=None)
    assert await carts.replace(cart, empty)
    assert await carts.get(user_id) == empty


async def test_a_version_is_replaced_once(carts, user_id):
    """Whoever saw an older version changes nothing, the first write of a user included."""
    first = add(1, 1)(Cart(user_id))
    assert await carts.replace(Cart(user_id), first)
    assert not await carts.replace(Cart(user_id), add(2, 1)(Cart(user_id)))
    second = add(1, 1)(first)
    assert await carts.replace(first, second)
    assert not await carts.replace(first, add(2, 5)(first))
    assert await carts.get(user_id) == second


async def test_of_many_writers_of_a_version_one_wins(carts, user_id):
    """Of twenty writers that saw the same version exactly one is told that it wrote, and its write is there."""
    before = add(1, 1)(Cart(user_id))
    await carts.replace(Cart(user_id), before)
    wishes = [add(2, quantity)(before) for quantity in range(1, 21)]
    won = await asyncio.gather(*(carts.replace(before, wish) for wish in wishes))
    assert won.count(True) == 1
    assert await carts.get(user_id) == wishes[won.index(True)]
