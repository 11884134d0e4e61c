"""The connection that stays at hand is lent to whoever comes next, and to nobody twice."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.chassis import postgres_pool
from services.chassis.postgres_pool import KEPT_SECONDS, PostgresPool

pytestmark = pytest.mark.real


@pytest.fixture
async def other(stores):
    """A connection of somebody else's, who may end those of the pool."""
    connection = await asyncpg.connect(_url(stores))
    yield connection
    await connection.close()


@pytest.fixture
async def inner(stores):
    """The pool of asyncpg, with two connections at most."""
    return await asyncpg.create_pool(_url(stores), min_size=0, max_size=2)


@pytest.fixture
async def pool(inner):
    """Our pool over it."""
    pool = PostgresPool(inner)
    yield pool
    async with asyncio.timeout(5):
        await pool.close()


async def until(holds):
    """Wait for a condition."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what the server and the loop do
            await asyncio.sleep(0.01)


def _url(stores):
    return urlsplit(stores["POSTGRES_URL"])._replace(path="/postgres").geturl()


async def used(pool):
    """Run a statement on a connection of the pool, and return the process of the server that it is connected to."""
    connection = await pool.acquire(1)
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    await pool.release(connection)
    return pid


async def test_statements_that_follow_each_other_use_one_connection(pool, inner, monkeypatch):
    """The pool of asyncpg is asked once for statements that come one after the other."""
    pid = await used(pool)

    def fail(*_, **__):
        raise AssertionError("asked again")

    monkeypatch.setattr(type(inner), "acquire", fail)
    assert {await used(pool) for _ in range(5)} == {pid}


async def test_nobody_shares_a_connection(pool):
    """Those who come at the same time are given a connection each."""
    await used(pool)
    lent = [await pool.acquire(1), await pool.acquire(1)]
    assert len({connection.get_server_pid() for connection in lent}) == 2
    for connection in lent:
        await pool.release(connection)


async def test_who_waits_is_given_what_comes_back(pool):
    """A connection is not kept at hand while somebody waits for one."""
    lent = [await pool.acquire(1), await pool.acquire(1)]
    waiting = asyncio.create_task(pool.acquire(5))
    await until(lambda: pool._waiting == 1)
    assert pool.exhausted
    await pool.release(lent[0])
    async with asyncio.timeout(KEPT_SECONDS / 2):
        got = await waiting
    for connection in (got, lent[1]):
        await pool.release(connection)


async def test_what_nobody_uses_goes_back(pool, inner, monkeypatch):
    """A connection that is not used for a while is given back, so that asyncpg may close it in time."""
    monkeypatch.setattr(postgres_pool, "KEPT_SECONDS", 0.05)
    await used(pool)
    assert inner.get_idle_size() == 0
    await until(lambda: inner.get_idle_size() == 1)


async def test_what_is_used_often_goes_back_now_and_then(pool, inner, monkeypatch):
    """A connection that is always in use is given back too, whoever else uses another, so that asyncpg may replace it."""
    monkeypatch.setattr(postgres_pool, "MOST_USES", 3)
    went_back = []
    release = type(inner).release

    async def noted(self, connection, **options):
        went_back.append(connection.get_server_pid())
        await release(self, connection, **options)

    monkeypatch.setattr(type(inner), "release", noted)
    kept = await used(pool)
    for _ in range(2):
        lent = [await pool.acquire(1), await pool.acquire(1)]
        assert lent[0].get_server_pid() == kept
        for connection in lent:
            await pool.release(connection)
    assert kept in went_back


async def test_a_connection_that_the_server_has_ended_is_replaced(pool, other):
    """A connection that was lost while it was at hand is lent to nobody, and takes no place in the pool."""
    pid = await used(pool)
    await other.execute("SELECT pg_terminate_backend($1)", pid)
    await until(lambda: not postgres_pool._is_idle(pool._at_hand))
    lent = [await pool.acquire(1), await pool.acquire(1)]
    assert pid not in {connection.get_server_pid() for connection in lent}
    for connection in lent:
        await pool.release(connection)


async def test_an_open_transaction_is_not_kept(pool):
    """A connection that comes back inside a transaction goes to asyncpg, which ends the transaction."""
    connection = await pool.acquire(1)
    await connection.execute("BEGIN")
    await pool.release(connection)
    again = await pool.acquire(1)
    assert not again.is_in_transaction()
    await pool.release(again)
