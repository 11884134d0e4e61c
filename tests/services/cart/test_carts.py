"""What every place that carts are kept in must do: one document a user, changed by a compare-and-set on its version."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from services.cart.domain import Cart, Line, add, clear, with_names
from services.cart.store import MongoCarts
from tests.plain import assert_plain, edge_ids
from tests.services.cart.carts import OneCart

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


async def test_a_cart_that_was_never_written(carts, user_id):
    """A user without a document has an empty cart of version 0."""
    assert await carts.get(user_id) == Cart(user_id)


async def test_what_is_written_is_read_back(carts, user_id):
    """Every field of a cart survives, the times to the millisecond."""
    lines = (Line("aa", 1, 2, ("c1", "c2"), "Laptop"), Line("bb", 2, 9999))
    cart = Cart(user_id, 1, "0123", lines, AT, "w1")
    assert await carts.replace(Cart(user_id), cart)
    assert await carts.get(user_id) == cart
    empty = replace(clear(cart), updated_at=None)
    assert await carts.replace(cart, empty)
    assert await carts.get(user_id) == empty


@pytest.mark.real
async def test_a_document_of_before_names_were_kept(request, user_id):
    """A cart that an older version wrote is read as it is, without names, and can be changed."""
    client = AsyncIOMotorClient(request.getfixturevalue("stores")["MONGODB_URL"])
    line = {"line_id": "aa", "product_id": 1, "quantity": 2, "bought": []}
    document = {"user_id": user_id, "cart_id": "0123", "version": 4, "lines": [line], "updated_at": AT}
    await client["cartdb"]["carts"].insert_one(document)
    client.close()
    carts = MongoCarts(request.getfixturevalue("stores")["MONGODB_URL"])
    store = OneCart(carts)
    old = await store.get(user_id)
    assert old == Cart(user_id, 4, "0123", (Line("aa", 1, 2),), AT)
    assert await store.replace(old, with_names(add(1, 1), {1: "Laptop"})(old))
    assert (await store.get(user_id)).lines == (Line("aa", 1, 3, (), "Laptop"),)
    carts.close()


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


@edge_ids
async def test_ids_of_64_bits_come_back_as_plain_numbers(carts, user_id, edge):
    """Whatever the size of a user's or a product's id, or of a version, a store gives the domain's own types back."""
    owner = user_id if edge == 1 else edge - user_id % 1000  # the edge, but a user whom nobody has been before
    before = await carts.get(owner)
    cart = Cart(owner, edge, "0123", (Line("aa", edge, 2, ("c1",)), Line("bb", 1, 9999)), AT)
    assert await carts.replace(before, replace(cart, version=before.version + 1))
    there = await carts.get(owner)
    assert there == replace(cart, version=before.version + 1)
    assert await carts.replace(there, replace(cart, version=edge))
    assert_plain(await carts.get(owner))
    assert_plain(before)
