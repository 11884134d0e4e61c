"""What happens to a connection after its work is decided changes nothing about the decision; no driver's error gets out."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.chassis import postgres, postgres_pool
from services.chassis.client import Endpoint
from services.chassis.postgres import Postgres
from services.chassis.telemetry import Metrics
from services.errors import OutcomeUnknown, Unavailable

pytestmark = pytest.mark.real
MADE = "CREATE TABLE IF NOT EXISTS public.chassis_tests (n bigint)"


@pytest.fixture(scope="session")
def url(stores):
    """A database that every PostgreSQL has."""
    return urlsplit(stores["POSTGRES_URL"])._replace(path="/postgres").geturl()


@pytest.fixture
async def db(url):
    """A pool of one connection, so that a connection that is not given back is missed at once."""
    async with Postgres(url, role="postgres", schema="public", size=1) as db:
        await db.fetch(MADE)
        await db.fetch("TRUNCATE public.chassis_tests")
        yield db


LOST = [
    TimeoutError(),
    OSError("reset"),
    asyncpg.ConnectionDoesNotExistError("gone"),
    asyncpg.InterfaceError("closed"),
    asyncpg.InternalClientError("cut off"),
    asyncpg.AdminShutdownError("going down"),
    asyncpg.InsufficientResourcesError("no memory"),
]


@pytest.fixture(params=LOST, ids=lambda error: type(error).__name__)
def bad_release(request, monkeypatch):
    """Have each connection go back to asyncpg's pool at once, and what asyncpg does with it there fail."""

    async def fail(*_, **__):
        raise request.param

    def begin():
        monkeypatch.setattr(postgres_pool, "MOST_USES", 1)
        monkeypatch.setattr(asyncpg.Connection, "_reset", fail)

    return begin


async def test_a_statement_that_was_done_stays_done(db, bad_release):
    """A connection that cannot be given back after a statement takes nothing from its result, and is replaced."""
    bad_release()
    for number in range(3):
        rows = await db.fetch("INSERT INTO chassis_tests VALUES ($1) RETURNING n", number)
        assert rows[0]["n"] == number
    assert len(await db.fetch("SELECT * FROM chassis_tests")) == 3


async def test_a_transaction_that_was_committed_stays_committed(db, bad_release):
    """A connection that cannot be given back after a COMMIT is no reason to say that the transaction failed."""
    bad_release()
    for number in range(3):
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO chassis_tests VALUES ($1)", number)
    assert len(await db.fetch("SELECT * FROM chassis_tests")) == 3


async def test_an_error_of_the_work_is_not_hidden_by_that_of_the_release(db, bad_release):
    """Where the work fails and the connection cannot be given back either, the caller hears of the work."""
    bad_release()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the work is a block
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO chassis_tests VALUES (1)")
            raise ZeroDivisionError
    assert await db.fetch("SELECT * FROM chassis_tests") == []


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
async def test_an_error_of_the_work_is_not_hidden_by_that_of_the_rollback(db, monkeypatch, error):
    """A rollback that fails closes the connection, which rolls back too; the caller hears why it came to that."""

    async def fail(_):
        raise error

    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the work is a block
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO chassis_tests VALUES (1)")
            monkeypatch.setattr(asyncpg.transaction.Transaction, "rollback", fail)
            raise ZeroDivisionError
    assert await db.fetch("SELECT * FROM chassis_tests") == []


async def test_an_error_of_the_work_is_not_hidden_by_a_connection_that_went_away(db, url):
    """A server that closes the connection inside a transaction hides no error of the work, and takes no connection away."""
    other = await asyncpg.connect(url)
    for _ in range(2):  # a second one is made in its place
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the work is a block
            async with db.transaction() as connection:
                await connection.execute("INSERT INTO chassis_tests VALUES (1)")
                await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
                await _closed(connection)
                raise ZeroDivisionError
    await other.close()
    assert await db.fetch("SELECT * FROM chassis_tests") == []


async def _closed(connection):
    """Wait until the pool has noticed that the server has closed a connection, and has taken it back."""
    async with asyncio.timeout(5):
        while True:
            try:
                connection.is_closed()
            except asyncpg.InterfaceError:
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("most_uses", [1, 1000])
async def test_a_statement_costs_one_round_trip(db, monkeypatch, most_uses):
    """A connection stays at hand, or goes back to the pool, as it is: nothing is sent but what was asked for."""
    monkeypatch.setattr(postgres_pool, "MOST_USES", most_uses)
    async with db.transaction() as connection:
        asked = []
        connection.add_query_logger(lambda record: asked.append(record.query))
    for number in range(3):
        await db.fetch("SELECT $1::bigint", number)
    await asyncio.sleep(0)  # the driver tells a logger in the next turn of the loop
    assert asked == ["COMMIT;"] + ["SELECT $1::bigint"] * 3


async def test_a_database_that_is_busy_is_not_called_unavailable(db, monkeypatch):
    """A request that waits too long for a connection, while others use them all, hears that the database is busy."""
    monkeypatch.setattr(postgres, "ACQUIRE_SECONDS", 0.05)
    async with db.transaction():
        with pytest.raises(Unavailable, match="busy"):
            await db.fetch("SELECT 1")


async def test_a_reply_that_makes_no_sense_is_a_lost_one(db, monkeypatch):
    """A reply that the driver cannot read leaves the outcome of a statement unknown, and undoes a transaction."""

    async def fail(*_, **__):
        raise asyncpg.ProtocolError("unexpected message")

    monkeypatch.setattr(asyncpg.Connection, "fetch", fail)
    with pytest.raises(OutcomeUnknown):
        await db.fetch("SELECT 1")
    with pytest.raises(Unavailable):
        async with db.transaction() as connection:
            await connection.fetch("SELECT 1")


async def test_a_lost_reply_to_a_commit_is_unknown(db, monkeypatch):
    """A COMMIT whose reply was lost may have been made, and here it was: that is told as neither done nor undone."""
    commit = asyncpg.transaction.Transaction.commit

    async def lose_the_reply(self):
        await commit(self)
        raise asyncpg.ConnectionDoesNotExistError("gone")

    monkeypatch.setattr(asyncpg.transaction.Transaction, "commit", lose_the_reply)
    with pytest.raises(OutcomeUnknown):
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO chassis_tests VALUES (1)")
    assert len(await db.fetch("SELECT * FROM chassis_tests")) == 1


async def test_a_connection_whose_statement_was_cancelled_is_closed(db, url):
    """Nobody is given a connection on which a statement was cut off: its reply could be taken for that of the next one."""
    before = (await db.fetch("SELECT pg_backend_pid() AS pid"))[0]["pid"]
    held = await asyncpg.connect(url)
    async with held.transaction():
        await held.execute("LOCK TABLE public.chassis_tests")
        waiting = asyncio.create_task(db.fetch("SELECT * FROM chassis_tests"))
        async with asyncio.timeout(5):
            while not await held.fetch("SELECT 1 FROM pg_locks WHERE pid = $1 AND NOT granted", before):  # noqa: ASYNC110 - the server's state
                await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await held.close()
    assert (await db.fetch("SELECT pg_backend_pid() AS pid"))[0]["pid"] != before


async def test_nothing_is_called_inside_a_transaction(db):
    """A call to another part while rows are locked would hold the locks for as long as the network likes: it is refused."""
    async with Endpoint("bank", "127.0.0.1:1", Metrics()) as bank, db.transaction():
        with pytest.raises(AssertionError, match="inside a database transaction"):
            await bank.send(None, None, within=1)


async def test_what_is_wrong_with_one_value_is_no_outage(db):
    """A value that PostgreSQL or its driver refuses is an error of that statement; the connection and others go on."""
    for value, error in ((2**63, asyncpg.DataError), ("a\x00b", asyncpg.DataError)):
        kind = "bigint" if isinstance(value, int) else "text"
        with pytest.raises(error):
            await db.fetch(f"SELECT $1::{kind}", value)
    assert (await db.fetch("SELECT 1 AS n"))[0]["n"] == 1


@pytest.mark.parametrize("changed", [{"path": "/no_such_database"}, {"role": "no_such_role"}, {"port": 1}])
async def test_a_database_that_lets_nobody_in_is_unavailable(url, changed):
    """Whatever keeps a connection from being made, nothing was sent, and the caller hears just that."""
    role = changed.pop("role", "postgres")
    where = urlsplit(url)
    if "port" in changed:
        changed = {"netloc": "postgres@127.0.0.1:1"}
    async with Postgres(where._replace(**changed).geturl(), role=role, schema="public") as db:
        with pytest.raises(Unavailable):
            await db.fetch("SELECT 1")
        assert await db.ready() == "the database is unavailable"
