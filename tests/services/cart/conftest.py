"""Both places where carts can be kept, both caches, and users whom nobody has been before."""

import itertools
import secrets
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from services.cart.cache import RedisCache
from services.cart.domain import Cart
from services.cart.store import MongoCarts
from services.chassis.env import process_environment
from services.chassis.telemetry import Metrics

_USERS = itertools.count(secrets.randbelow(10**9) + 2 * 10**9)


class MemoryCarts:
    """Fits the port Carts."""

    def __init__(self):
        self.kept = {}

    async def get(self, user_id):
        return self.kept.get(user_id, Cart(user_id))

    async def replace(self, before, after):
        if (await self.get(before.user_id)).version != before.version:
            return False
        self.kept[after.user_id] = replace(after)
        return True


class MemoryCache:
    """Fits the port Cache: the protocol with neither a clock nor a network."""

    def __init__(self):
        self.values, self.writers, self.leases = {}, {}, {}

    async def read(self, user_id):
        if self.writers.get(user_id):
            return None, ""
        if user_id in self.values:
            return self.values[user_id], ""
        self.leases[user_id] = secrets.token_hex(4)
        return None, self.leases[user_id]

    async def fill(self, cart, lease):
        if not self.writers.get(cart.user_id) and self.leases.get(cart.user_id) == lease:
            self.values[cart.user_id] = cart

    async def begin_write(self, user_id):
        token = secrets.token_hex(4)
        self.writers.setdefault(user_id, set()).add(token)
        self._drop(user_id)
        return token

    async def end_write(self, user_id, token):
        self.writers.get(user_id, set()).discard(token)
        self._drop(user_id)

    def _drop(self, user_id):
        self.values.pop(user_id, None)
        self.leases.pop(user_id, None)


@pytest.fixture(scope="session")
def stores(request):
    """The URLs of the stores: the environment's, or else the platform's own."""
    env = process_environment()
    if env.get("MONGODB_URL") and env.get("REDIS_URL"):
        return env
    return request.getfixturevalue("platform").urls


@pytest.fixture
def user_id():
    """Give a user whom nobody has been before."""
    return next(_USERS)


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.real)])
async def carts(request):
    """Give the store."""
    if request.param == "memory":
        yield MemoryCarts()
        return
    store = MongoCarts(request.getfixturevalue("stores")["MONGODB_URL"])
    await store.prepare()
    yield store
    store.close()


@pytest.fixture
async def make_cache(stores):
    """Make caches on the real Redis."""
    made = []

    def make(*, within=5.0, **settings):  # patient: what a busy machine delays is not what these tests are about
        settings["within"] = within
        made.append(RedisCache(settings.pop("url", stores["REDIS_URL"]), Metrics(), **settings))
        return made[-1]

    yield make
    for cache in made:
        await cache.close()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.real)])
def cache(request):
    """Give the cache."""
    return MemoryCache() if request.param == "memory" else request.getfixturevalue("make_cache")()


@pytest.fixture
async def redis(stores):
    """Redis itself."""
    async with Redis.from_url(stores["REDIS_URL"], decode_responses=True) as client:
        yield client
