"""Both places where carts can be kept, both caches, and users whom nobody has been before."""

import itertools
import secrets

import pytest
from redis.asyncio import Redis

from services.cart.cache import RedisCache
from services.cart.store import MongoCarts
from services.chassis.telemetry import Metrics
from tests.services.cart.carts import OneCache, OneCart
from tests.services.cart.memory import MemoryCache, MemoryCarts
from tests.simulation.redis import LocalPipeline

_USERS = itertools.count(secrets.randbelow(10**9) + 2 * 10**9)


@pytest.fixture
def user_id():
    """Give a user whom nobody has been before."""
    return next(_USERS)


@pytest.fixture(params=["memory", pytest.param("mongodb", marks=pytest.mark.real)])
async def carts(request):
    """Give the store, for one user at a time; `many` is the store itself."""
    if request.param == "memory":
        yield OneCart(MemoryCarts())
        return
    store = MongoCarts(request.getfixturevalue("stores")["MONGODB_URL"])
    await store.prepare()
    yield OneCart(store)
    store.close()


@pytest.fixture
async def make_cache(stores):
    """Make caches on the real Redis."""
    made = []

    def make(*, within=5.0, **settings):  # patient: what a busy machine delays is not what these tests are about
        settings["within"] = within
        made.append(RedisCache(settings.pop("url", stores["REDIS_URL"]), Metrics(), **settings))
        return OneCache(made[-1])

    yield make
    for cache in made:
        await cache.close()


@pytest.fixture
def simulated_cache(monkeypatch):
    """Give the cache on the Redis of the simulation, whose script is in Python."""
    monkeypatch.setattr("services.cart.cache.Pipeline", lambda *_, **__: LocalPipeline())
    return OneCache(RedisCache("redis://simulated", Metrics()))


@pytest.fixture(params=["memory", "simulated", pytest.param("redis", marks=pytest.mark.real)])
def cache(request):
    """Give the cache, for one user at a time; `many` is the cache itself."""
    if request.param == "memory":
        return OneCache(MemoryCache())
    return (
        request.getfixturevalue("make_cache")()
        if request.param == "redis"
        else request.getfixturevalue("simulated_cache")
    )


@pytest.fixture
async def redis(stores):
    """Redis itself."""
    async with Redis.from_url(stores["REDIS_URL"], decode_responses=True) as client:
        yield client
