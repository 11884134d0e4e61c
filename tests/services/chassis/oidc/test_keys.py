"""The issuer's keys as they are kept: how often they are fetched, and how long they count."""

import asyncio

import pytest
import structlog

from services.chassis.oidc.issuer import IssuerUnavailable
from services.chassis.oidc.jwks import Key
from services.chassis.oidc.keys import MAX_AGE_SECONDS, MIN_INTERVAL_SECONDS, REFRESH_SECONDS, Keys
from services.chassis.telemetry import Metrics
from services.errors import Unavailable

FIRST, SECOND = (Key("first", b"1", {}),), (Key("second", b"2", {}),)


class Source:
    """An issuer that gives what it holds, or is away; while `gate` is not set it does not answer."""

    def __init__(self):
        self.held = FIRST
        self.asked = 0
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self):
        self.asked += 1
        self.reached.set()
        await self.gate.wait()
        if self.held is None:
            raise IssuerUnavailable("away")
        return self.held


@pytest.fixture
def source():
    return Source()


@pytest.fixture
async def keys(source, clock):
    kept = Keys(source.fetch, structlog.get_logger(), Metrics(), clock)
    yield kept
    source.gate.set()
    await kept.close()


async def settled(keys):
    """Wait until no fetch is under way."""
    while keys._fetching is not None:
        await asyncio.wait([keys._fetching])


async def test_keys_are_fetched_once_for_all_who_wait(keys, source):
    """However many ask at once, the issuer is asked once."""
    source.gate.clear()
    waiting = [asyncio.create_task(keys.current()) for _ in range(50)]
    await source.reached.wait()
    waiting[0].cancel()  # the one who leaves takes nothing from the others
    source.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert (found[1:], source.asked) == ([FIRST] * 49, 1)


async def test_old_keys_are_renewed_without_waiting(keys, source, clock):
    """Keys older than some minutes go on at once, and are fetched meanwhile."""
    await keys.current()
    clock.now += REFRESH_SECONDS - 1
    assert (await keys.current(), source.asked) == (FIRST, 1)
    clock.now += 1
    source.held = SECOND
    source.gate.clear()
    assert await keys.current() == FIRST
    source.gate.set()
    await settled(keys)
    assert (await keys.current(), source.asked) == (SECOND, 2)


async def test_without_the_issuer_keys_count_for_an_hour(keys, source, clock):
    """While the issuer is away its keys go on for an hour; then nothing is allowed until it is back."""
    await keys.current()
    source.held = None
    for _ in range(int(MAX_AGE_SECONDS // REFRESH_SECONDS) - 1):
        clock.now += REFRESH_SECONDS
        assert await keys.current() == FIRST
        await settled(keys)
    clock.now += REFRESH_SECONDS - 1
    assert await keys.current() == FIRST
    await settled(keys)
    clock.now += 1
    with pytest.raises(Unavailable) as error:
        await keys.current()
    assert 1 <= error.value.retry_after <= MIN_INTERVAL_SECONDS
    clock.now += MIN_INTERVAL_SECONDS
    source.held = SECOND
    assert await keys.current() == SECOND


async def test_an_hour_is_counted_from_the_question(keys, source, clock):
    """Keys that took long to come are as old as the question they answer."""
    source.gate.clear()
    waiting = asyncio.create_task(keys.current())
    await source.reached.wait()
    clock.now += REFRESH_SECONDS
    source.gate.set()
    await waiting
    await keys.current()
    assert keys._fetching is None  # old already, but asked just now
    clock.now += MIN_INTERVAL_SECONDS
    await keys.current()
    await settled(keys)
    assert source.asked == 2


async def test_an_issuer_that_is_away_is_not_asked_by_every_request(keys, source, clock):
    """While there are no keys the issuer is asked once in some seconds, however many requests come."""
    source.held = None
    for _ in range(100):
        with pytest.raises(Unavailable):
            await keys.current()
    assert source.asked == 1
    clock.now += MIN_INTERVAL_SECONDS - 0.1
    with pytest.raises(Unavailable):
        await keys.current()
    clock.now += 0.1
    source.held = FIRST
    assert (await keys.current(), source.asked) == (FIRST, 2)


async def test_a_new_key_is_asked_for_once(keys, source, clock):
    """Who misses a key has the keys fetched: once for all, and not again within some seconds."""
    old = await keys.current()
    clock.now += MIN_INTERVAL_SECONDS
    source.held = SECOND
    assert await asyncio.gather(*(keys.fetch_newer(old) for _ in range(50))) == [SECOND] * 50
    assert source.asked == 2
    assert (await keys.fetch_newer(SECOND), source.asked) == (SECOND, 2)
    clock.now += MIN_INTERVAL_SECONDS
    assert (await keys.fetch_newer(old), source.asked) == (SECOND, 2)  # somebody else has had them fetched
    await keys.fetch_newer(SECOND)
    assert source.asked == 3


async def test_a_missing_key_of_an_issuer_that_is_away_is_unknown(keys, source, clock):
    """Where the issuer cannot be asked nobody knows whether it has the key: that is no refusal."""
    old = await keys.current()
    clock.now += MIN_INTERVAL_SECONDS
    source.held = None
    for _ in range(2):
        with pytest.raises(Unavailable):
            await keys.fetch_newer(old)
    assert (source.asked, await keys.current()) == (2, FIRST)


async def test_readiness_says_how_the_issuer_is(keys, source, clock):
    """A look at the readiness page keeps the keys fresh, and tells how long they count without the issuer."""
    source.held = None
    assert await keys.ready() == "not asked yet"
    await settled(keys)
    assert await keys.ready() == "unreachable"
    clock.now += MIN_INTERVAL_SECONDS
    source.held = FIRST
    await keys.ready()
    await settled(keys)
    assert await keys.ready() == "ok"
    clock.now += REFRESH_SECONDS
    source.held = None
    await keys.ready()
    await settled(keys)
    assert await keys.ready() == "unreachable; its keys count for another 3300 s"


async def test_what_nobody_foresaw_is_not_hidden(keys, source):
    """An error that is no outage of the issuer reaches the one who asked, and the next one asks again."""

    async def broken():
        raise RuntimeError("a bug")

    keys._fetch = broken
    with pytest.raises(RuntimeError, match="a bug"):
        await keys.current()
    assert keys._fetching is None
