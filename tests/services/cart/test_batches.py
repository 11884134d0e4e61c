"""Batches of 1, 2 and 50 carts: each user has an outcome of their own, whatever becomes of the others, also one who is there twice."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import AutoReconnect

from services.cart.changes import CartWriter, Lease, Token
from services.cart.domain import Cart, NotInCart, Purchase, add, remove
from services.cart.store import MongoCarts
from services.cart.usecases import CartService, CartView, ListedProduct, adding, removing
from services.errors import Fault, OutcomeUnknown, Unavailable
from tests.services.cart.carts import cart_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
sizes = pytest.mark.parametrize("size", [1, 2, 50])


class Listing:
    """A catalogue of two products."""

    async def products(self):
        return {1: ListedProduct("Laptop", 100), 2: ListedProduct("Mouse", 10)}


@pytest.fixture
def many(carts):
    """Give the store of many carts."""
    return carts.many


@pytest.fixture
def service(many, cache):
    """Wire the service on either store and either cache."""
    return CartService(many, cache.many, Listing(), CartWriter(many, cache.many, clock=lambda: NOW))


@pytest.fixture
def users(user_id):
    """Give so many users whom nobody has been before."""
    return lambda size: [user_id * 1000 + number for number in range(size)]


@pytest.fixture
def poison(many, request):
    """Make the document of a user one that nobody can read."""

    async def poison(user_id):
        if not isinstance(many, MongoCarts):
            many.kept[user_id] = ValueError("not ours")
            return
        client = AsyncIOMotorClient(request.getfixturevalue("stores")["MONGODB_URL"])
        await client["cartdb"]["carts"].insert_one({"user_id": user_id, "version": 1, "lines": 5})
        client.close()

    return poison


def quantities(outcomes):
    """Give the quantity of the first line of each cart; 0 without lines, None for an error."""
    carts = [one.cart if isinstance(one, CartView) else one for one in outcomes]
    return [None if isinstance(cart, Exception) else sum(line.quantity for line in cart.lines[:1]) for cart in carts]


@sizes
async def test_what_is_written_together_is_read_together(service, users, size):
    """Each cart of a batch has its own change, out of the store and out of the cache, in the order asked for."""
    mine = users(size)
    wanted = [(user_id, adding(1, number % 99 + 1)) for number, user_id in enumerate(mine)]
    expected = [number % 99 + 1 for number in range(size)]
    assert quantities(await service.edit(wanted)) == expected
    for _ in range(2):
        assert quantities(await service.read(mine)) == expected
        assert quantities(await service.read(mine[::-1])) == expected[::-1]
    assert quantities(await service.edit(wanted)) == [2 * one for one in expected]
    assert quantities(await service.read(mine)) == [2 * one for one in expected]


@sizes
async def test_one_bad_item_fails_alone(service, users, poison, size):
    """A document that cannot be read, a product that is not sold and a line that is not there each fail one item of a batch."""
    mine = users(size + 3)
    bad, unsold, gone = mine[0], mine[1], mine[2]
    await poison(bad)
    wanted = [(user_id, adding(1, 3)) for user_id in mine]
    wanted[1], wanted[2] = (unsold, adding(404, 1)), (gone, removing(1))
    outcomes = await service.edit(wanted)
    assert quantities(outcomes) == [None, None, None, *([3] * size)]
    assert not isinstance(outcomes[0], Fault)
    assert isinstance(outcomes[2], NotInCart)
    assert quantities(await service.read(mine)) == [None, 0, 0, *([3] * size)]
    assert quantities(await service.for_claim([(user_id, []) for user_id in mine])) == [None, 0, 0, *([3] * size)]


@pytest.mark.real
async def test_a_document_that_the_driver_cannot_encode_fails_alone(stores, users):
    """Of a batch of writes the one that cannot be sent is an error, and its neighbours are written."""
    carts = MongoCarts(stores["MONGODB_URL"])
    first, second, third = users(3)
    changes = [(Cart(user_id), add(1, 1)(Cart(user_id))) for user_id in (first, second, third)]
    changes[1] = (changes[1][0], replace(changes[1][1], lines=(replace(changes[1][1].lines[0], quantity=2**70),)))
    won, failed, also = await carts.replace(changes)
    assert (won, type(failed), also) == (True, OverflowError, True)
    carts.close()


@sizes
async def test_a_user_who_is_there_twice(service, users, size):
    """The changes of one user are made in their order; each shows the cart as it was then."""
    mine = users(size)
    wanted = [(user_id, edit) for user_id in mine for edit in (adding(1, 1), removing(1), adding(1, 5))]
    assert quantities(await service.edit(wanted)) == [1, 0, 5] * size
    assert quantities(await service.read([*mine, *mine])) == [5] * (2 * size)


@sizes
async def test_what_was_bought_leaves_the_carts_of_a_batch_once(service, users, size):
    """Purchases leave their own users' carts, however often they come."""
    mine = users(size)
    views = await service.edit([(user_id, adding(1, 5)) for user_id in mine])
    asked = [
        (user_id, [Purchase("c", ((view.cart.lines[0].line_id, 2),))])
        for user_id, view in zip(mine, views, strict=True)
    ]
    for _ in range(2):
        assert quantities(await service.for_claim([*asked, *asked])) == [3] * (2 * size)


@sizes
async def test_writers_of_the_same_carts(many, users, size):
    """Of two batches that saw the same versions, each cart takes the write of one, and the other is told so."""
    mine = users(size)
    befores = [Cart(user_id) for user_id in mine]
    if size > 1:  # some carts are there already
        await many.replace([(before, add(1, 1)(before)) for before in befores[::2]])
        befores[::2] = await many.read(mine[::2])
    afters = [[replace(add(2, 1)(before), write_id=name) for before in befores] for name in ("a", "b")]
    batches = [list(zip(befores, after, strict=True)) for after in afters]
    batches[1] = batches[1][size // 3 :]
    first, second = await asyncio.gather(*(many.replace(batch) for batch in batches))
    there = await many.read(mine)
    for position, cart in enumerate(there):
        other = position - size // 3
        won = (first[position], other >= 0 and second[other])
        assert won in {(True, False), (False, True)}
        assert cart == afters[won.index(True)][position]


@pytest.mark.real
async def test_a_write_that_was_overtaken_is_not_made_again(stores, users, monkeypatch):
    """Where a batch cannot tell which of its writes was made, since carts have moved on, it says so and guesses nothing."""
    carts = MongoCarts(stores["MONGODB_URL"])
    befores = [add(1, 1)(Cart(user_id)) for user_id in users(3)]
    await carts.replace([(Cart(before.user_id), before) for before in befores])
    afters = [replace(add(1, 1)(before), write_id="mine") for before in befores]
    other = replace(add(1, 5)(befores[0]), write_id="other")
    await carts.replace([(befores[0], other)])  # the first cart is lost to another writer
    read = carts.read

    async def late(user_ids):  # before the carts are read again, two of them have moved on
        await carts.replace([(other, add(1, 1)(other)), (afters[1], add(1, 1)(afters[1]))])
        return await read(user_ids)

    monkeypatch.setattr(carts, "read", late)
    outcomes = await carts.replace(list(zip(befores, afters, strict=True)))
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown, OutcomeUnknown, bool]
    carts.close()


@pytest.mark.real
async def test_a_lost_reply_is_every_items_and_is_resolved_for_each(stores, users, make_cache, monkeypatch):
    """A bulk write whose reply is lost is looked up cart by cart: what was made is told as made, once."""
    carts, cache = MongoCarts(stores["MONGODB_URL"]), make_cache().many
    service = CartService(carts, cache, Listing(), CartWriter(carts, cache, clock=lambda: NOW))
    mine = users(50)
    await service.edit([(user_id, adding(1, 1)) for user_id in mine[::2]])
    write = carts._carts.bulk_write
    lost = []

    class Losing:
        """The collection, whose first replies are lost."""

        def __getattr__(self, name):
            return getattr(collection, name)

        async def bulk_write(self, operations, **options):
            done = await write(operations, **options)
            if len(lost) < 2:  # first writes, and later ones
                lost.append(done)
                raise AutoReconnect("cut")
            return done

    collection, carts._carts = carts._carts, Losing()
    outcomes = await service.edit([(user_id, adding(1, 1)) for user_id in mine])
    assert len(lost) == 2
    assert quantities(outcomes) == [2, 1] * 25
    assert quantities(await service.read(mine)) == [2, 1] * 25
    carts.close()


@sizes
async def test_leases_and_tokens_are_each_users_own(cache, users, size):
    """A batch of readers and a batch of writers that share some users keep to the protocol for each user alone."""
    mine = users(size)
    leases = await cache.many.read(mine)
    assert all(isinstance(lease, Lease) for lease in leases)
    written = mine[::2]
    tokens = await cache.many.begin_writes(written)
    assert all(isinstance(token, Token) for token in tokens)
    await cache.many.fill([(cart_of(user_id, 1), lease) for user_id, lease in zip(mine, leases, strict=True)])
    found = await cache.many.read(mine)
    assert found == [None if user_id in written else cart_of(user_id, 1) for user_id in mine]
    await cache.many.end_writes(list(zip(written, tokens, strict=True)))
    found = await cache.many.read(mine)
    assert [isinstance(one, Lease) for one in found] == [user_id in written for user_id in mine]


@pytest.mark.real
async def test_foreign_keys_of_one_user_are_that_users_alone(make_cache, redis, users):
    """Whatever somebody puts under the keys of some users, the others of the batch are hits, and no breaker moves."""
    cache, mine = make_cache().many, users(50)
    await cache.fill([(cart_of(user, 1), lease) for user, lease in zip(mine, await cache.read(mine), strict=True)])
    await redis.set(f"cart:{mine[0]}", b"{", px=300_000)
    await redis.delete(f"cart:{mine[1]}")
    await redis.rpush(f"cart:{mine[1]}", "x")
    await redis.set(f"cart:{mine[2]}", b"[]")
    found = await cache.read(mine)
    assert not any(isinstance(one, Cart) for one in found[:3])
    assert found[3:] == [cart_of(user_id, 1) for user_id in mine[3:]]
    assert cache._breaker._failures == 0


@pytest.mark.real
async def test_a_redis_that_does_not_know_the_script(make_cache, redis, users):
    """A Redis that was restarted learns the script from the first batch, which goes on as if nothing had been."""
    cache, mine = make_cache().many, users(3)
    await redis.script_flush()
    leases = await cache.read(mine)
    assert all(isinstance(lease, Lease) for lease in leases)
    await redis.script_flush()
    await cache.fill([(cart_of(user, 1), lease) for user, lease in zip(mine, leases, strict=True)])
    assert await cache.read(mine) == [cart_of(user_id, 1) for user_id in mine]
    assert cache._breaker._failures == 0


@pytest.mark.real
async def test_a_warm_batch_is_one_call_to_redis(make_cache, users, monkeypatch):
    """Fifty carts that are there cost one round trip, and one call of the breaker; so does a batch that Redis does not answer."""
    cache, mine = make_cache().many, users(50)
    await cache.fill([(cart_of(user, 1), lease) for user, lease in zip(mine, await cache.read(mine), strict=True)])
    sent = []
    send = cache._pipeline.send

    async def counted(commands, *, replies):
        sent.append(replies)
        if len(sent) > 1:
            raise TimeoutError
        return await send(commands, replies=replies)

    monkeypatch.setattr(cache._pipeline, "send", counted)
    assert await cache.read(mine) == [cart_of(user_id, 1) for user_id in mine]
    assert sent == [100]
    assert await cache.read(mine) == [None] * 50
    assert cache._breaker._failures == 1


async def test_a_write_that_cannot_be_announced_is_refused_alone(many, cache, users, monkeypatch):
    """Of a batch of writes those whose token could not be set are not made; the others are."""
    first, second = users(2)
    begin = cache.many.begin_writes

    async def some(user_ids):
        tokens = await begin(user_ids)
        return [
            Unavailable("open") if user_id == first else token for user_id, token in zip(user_ids, tokens, strict=True)
        ]

    monkeypatch.setattr(cache.many, "begin_writes", some)
    writer = CartWriter(many, cache.many, clock=lambda: NOW)
    refused, made = await writer.change([(first, add(1, 1)), (second, add(1, 1))])
    assert isinstance(refused, Unavailable)
    assert made.version == 1
    assert [cart.version for cart in await many.read([first, second])] == [0, 1]
    [gone] = await writer.change([(second, remove(1))])
    assert gone.lines == ()
