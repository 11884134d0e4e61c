"""What others put under the cache's keys, and what Redis says of itself: a miss, or an outage, and never anybody else's failure."""

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ResponseError

from services.cart.changes import Lease
from services.errors import Unavailable
from tests.services.cart.carts import cart_of, filled

CART = '"cart_id": "x", "lines": [], "updated_at": null}'
FOREIGN_VALUES = [
    b"{", b"[]", b'{"version": "many"}', b"null", b"", b"\xff\xfe", b'{"user_id": "\xff"}', b"[" * 50_000,
    f'{{"user_id": 1, "version": 1, {CART}'.encode(),  # another user's
    f'{{"user_id": USER, "version": {10**30}, {CART}'.encode(),
    f'{{"user_id": USER, "version": -1, {CART}'.encode(),
    f'{{"user_id": USER, "version": "2", {CART}'.encode(),
    b'{"user_id": USER, "version": 1, "cart_id": "\xff", "lines": []}',  # a text that is none
    b'{"user_id": USER, "version": 1, "of_a_later_version": ' + b"[" * 50_000,
]  # fmt: skip


def counted(cache):
    """Give how much the cache took for something that others put there."""
    return cache._count["foreign"]._value.get()


def failed(cache):
    """Give how many calls its breaker counts as failures."""
    return cache._breaker._failures


@pytest.mark.real
@pytest.mark.parametrize("foreign", FOREIGN_VALUES)
async def test_a_value_that_is_not_ours(make_cache, redis, user_id, foreign):
    """What is not a cart of this user is a miss, is deleted and counted, moves no breaker, and is replaced."""
    cache = make_cache()
    await redis.set(f"cart:{user_id}", foreign.replace(b"USER", str(user_id).encode()), px=300_000)
    for _ in range(2):
        assert (await cache.read(user_id))[0] is None
    assert await filled(cache, user_id) == cart_of(user_id, 1)
    assert (counted(cache), failed(cache)) == (1, 0)


@pytest.mark.real
async def test_a_value_that_is_not_ours_is_replaced_by_a_fill(make_cache, redis, user_id):
    """A fill meets whatever was put there meanwhile, and stores the cart all the same."""
    cache = make_cache()
    for foreign in FOREIGN_VALUES:
        _, lease = await cache.read(user_id)
        await redis.set(f"cart:{user_id}", foreign, px=1000)
        await cache.fill(cart_of(user_id, 1), lease)
        assert (await cache.read(user_id))[0] == cart_of(user_id, 1)
        await cache.end_write(user_id, None)
    assert failed(cache) == 0


@pytest.mark.real
async def test_a_value_that_would_live_too_long(make_cache, redis, user_id):
    """A value with a longer life than any of ours is not trusted, however well it looks."""
    cache = make_cache()
    assert await filled(cache, user_id) == cart_of(user_id, 1)
    await redis.pexpire(f"cart:{user_id}", 86_400_000)
    cart, lease = await cache.read(user_id)
    assert (cart, counted(cache), await redis.exists(f"cart:{user_id}")) == (None, 1, 0)
    assert lease


PUT = {
    "string": lambda redis, key: redis.set(key, b"\xff"),
    "list": lambda redis, key: redis.rpush(key, "x"),
    "set": lambda redis, key: redis.sadd(key, "x"),
    "hash": lambda redis, key: redis.hset(key, "x", "y"),
    "zset": lambda redis, key: redis.zadd(key, {"x": 1}),
    "stream": lambda redis, key: redis.xadd(key, {"x": "y"}),
}
OURS = {"": "string", ":l": "string", ":w": "zset"}


@pytest.mark.real
@pytest.mark.parametrize("kind", PUT)
@pytest.mark.parametrize("suffix", OURS)
async def test_a_key_of_another_type(make_cache, redis, user_id, suffix, kind):
    """Whatever type a key of ours has been given, reads, fills and writes of its user go on, and no breaker moves."""
    cache, key = make_cache(token_ms=50), f"cart:{user_id}{suffix}"
    foreign = kind != OURS[suffix]

    async def read():
        assert (await cache.read(user_id))[0] is None

    async def fill():
        await cache.fill(cart_of(user_id, 1), Lease("lease"))

    async def write():
        token = await cache.begin_write(user_id)
        assert token
        await redis.delete(key)
        await PUT[kind](redis, key)
        await cache.end_write(user_id, token)

    for number, act in enumerate((read, fill, write)):
        await redis.delete(key)
        await PUT[kind](redis, key)
        await act()
        assert failed(cache) == 0
        assert counted(cache) == foreign * (number + 1 + (act == write))
    assert await filled(cache, user_id) == cart_of(user_id, 1)


@pytest.mark.real
async def test_tokens_that_somebody_replaced_keep_readers_off(make_cache, redis, user_id):
    """A foreign key may have replaced the token of a write under way, so nothing is stored for as long as that may take."""
    cache = make_cache()
    _, lease = await cache.read(user_id)
    await cache.begin_write(user_id)
    await redis.set(f"cart:{user_id}:w", "foreign")
    assert await cache.read(user_id) == (None, None)
    await cache.fill(cart_of(user_id, 1), lease)
    assert await cache.read(user_id) == (None, None)


@pytest.mark.real
@pytest.mark.parametrize(
    ("line", "outage"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value script: 1, on @user_script:3.", False),
        ("ERR Error running script (call to f_1): @user_script:3: WRONGTYPE Operation against a key", False),
        ("ERR user_script:9: attempt to compare number with string script: 1, on @user_script:9.", False),
        ("LOADING Redis is loading the dataset in memory", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("READONLY You can't write against a read only replica.", True),
        ("BUSY Redis is busy running a script.", True),
        ("MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk.", True),
        ("NOREPLICAS Not enough good replicas to write.", True),
        ("MASTERDOWN Link with MASTER is down", True),
        ("CLUSTERDOWN Hash slot not served", True),
        ("NOPERM this user has no permissions to run the 'evalsha' command", True),
        ("NOAUTH Authentication required.", True),
        ("ERR max number of clients reached", True),
        ("ERR unknown command 'EVALSHA'", True),
    ],
)
async def test_what_redis_says_about_itself_is_an_outage(make_cache, user_id, line, outage, monkeypatch):
    """What Redis says about one cart's keys fails alone; what it says about itself opens the breaker: carts go on without."""
    cache = make_cache()

    async def fail(commands, *, replies):
        error = BaseParser.parse_error(line)
        if not isinstance(error, ResponseError):  # the client library raises those that are about the connection
            raise error
        return [error] * replies

    monkeypatch.setattr(cache._pipeline, "send", fail)
    for _ in range(10):
        assert await cache.read(user_id) == (None, None)
    assert cache._breaker.is_open == outage
    if outage:
        assert await cache.begin_write(user_id) is None
    else:
        with pytest.raises(Unavailable):
            await cache.begin_write(user_id)
