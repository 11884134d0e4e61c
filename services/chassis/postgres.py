"""PostgreSQL for any service: a pool under the service's own role, short transactions, and errors that say what happened.

An error on COMMIT means "unknown", never "no". A connection whose statement timed out or was cancelled is closed, not
returned to the pool, so that nobody reads another's reply. What happens to a connection after its work is decided changes
nothing about the decision.

A connection goes back to the pool as it is. Its settings are those it was opened with: no statement of ours changes a
setting, listens, or takes a lock that outlives its transaction, so a reset would be a round trip for nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Self

import asyncpg
from asyncpg.transaction import Transaction

from services.chassis import call, tracing
from services.chassis.postgres_pool import CONNECTION_LOST, Connection, PostgresPool
from services.chassis.sql_summary import summary
from services.errors import OutcomeUnknown, Unavailable

Row = asyncpg.Record

ACQUIRE_SECONDS = 1.0
STATEMENT_SECONDS = 2.0
_SETTINGS = {
    "statement_timeout": "2s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "5s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "1s",
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",
}
# The server says these before or instead of doing the work: the transaction is rolled back.
_NOT_DONE = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,  # no disk, no memory, too many connections
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidCachedStatementError,  # a migration changed a table that the connection had prepared a statement for
)

_in_transaction: ContextVar[bool] = ContextVar("in_transaction", default=False)


def forbid_in_transaction(what: str) -> None:
    """Refuse to call `what` while a transaction is open: locks would be held for as long as the network likes."""
    if _in_transaction.get():
        raise AssertionError(f"{what} is called inside a database transaction")


def _seconds(most: float) -> float:
    left = call.current().remaining()
    if left is None:
        return most
    if left <= 0:
        raise Unavailable("there is no time left for this request")
    return min(most, left)


class Postgres:
    """A pool of connections that act as one role."""

    def __init__(self, url: str, *, role: str, schema: str, size: int = 10, read_only: bool = False) -> None:
        """Connect to `url` as `role`; unqualified names mean `schema`; the pool holds at most `size` connections.

        With `read_only` PostgreSQL refuses whatever would change something.
        """
        self._url = url
        self._size = size
        self._settings = _SETTINGS | {"role": role, "search_path": schema, "application_name": role}
        if read_only:
            self._settings["default_transaction_read_only"] = "on"
        self._pool: PostgresPool | None = None

    async def __aenter__(self) -> Self:
        pool = await asyncpg.create_pool(
            self._url,
            min_size=0,  # a service starts while its database is away
            max_size=self._size,
            command_timeout=STATEMENT_SECONDS + 1,
            server_settings=self._settings,
            timeout=2,
            reset=_keep_session,
        )
        self._pool = PostgresPool(pool)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 5)
            except (*CONNECTION_LOST, asyncpg.PostgresError):
                self._pool.terminate()  # nothing is under way any more, so there is nothing to tell

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise AssertionError("the pool is not open")
        try:
            connection = await self._pool.acquire(_seconds(ACQUIRE_SECONDS))
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:  # also a refused login: no statement was sent
            busy = self._pool.exhausted
            raise Unavailable("the database is busy; try again" if busy else "the database is unavailable") from error
        healthy = False
        try:
            yield connection
            healthy = True
        except asyncpg.PostgresError as error:
            healthy = not isinstance(error, asyncpg.PostgresConnectionError)
            raise
        finally:
            await self._release(self._pool, connection, healthy=healthy)

    @staticmethod
    async def _release(pool: PostgresPool, connection: Connection, *, healthy: bool) -> None:
        """Return a connection to the pool, or close one that is not healthy; the pool then makes another.

        The work is decided by then, perhaps committed, so a failure here must not be taken for a failure of the work.
        """
        with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
            if not healthy:
                connection.terminate()
            await pool.release(connection)

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Run one statement in a transaction of its own and give its rows.

        Unavailable: it did not take effect. OutcomeUnknown: the connection was lost, it may have.
        """
        with tracing.span(summary(sql), tracing.Kind.CLIENT) as span:
            span.set("db.system.name", "postgresql")
            return await self._fetch(sql, *args)

    async def _fetch(self, sql: str, *args: Any) -> list[Row]:
        async with self._connection() as connection:
            with _translated(lost=OutcomeUnknown):
                return await connection.fetch(sql, *args, timeout=_seconds(STATEMENT_SECONDS))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Run a READ COMMITTED transaction; no call to another part may be made inside.

        Unavailable: it was rolled back. OutcomeUnknown: the reply to COMMIT was lost.
        """
        async with self._connection() as connection:
            transaction = connection.transaction(isolation="read_committed")
            with _translated(lost=Unavailable):
                await transaction.start()
            token = _in_transaction.set(True)
            try:
                with _translated(lost=Unavailable):
                    yield connection
            except BaseException:
                await _roll_back(connection, transaction)
                raise
            finally:
                _in_transaction.reset(token)
            with _translated(lost=OutcomeUnknown):
                await transaction.commit()

    @asynccontextmanager
    async def snapshot(self, seconds: float = STATEMENT_SECONDS) -> AsyncIterator[Connection]:
        """Run a transaction that only reads, and whose statements all see the same moment; each may take `seconds`.

        Unavailable: the snapshot was lost. Errors of asyncpg where PostgreSQL refuses a statement.
        """
        async with self._connection() as connection:
            with _translated(lost=Unavailable):
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    if seconds > STATEMENT_SECONDS:
                        await connection.execute(f"SET LOCAL statement_timeout = '{seconds:.0f}s'")
                    yield connection

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        try:
            await self.fetch("SELECT 1")
        except (Unavailable, OutcomeUnknown) as fault:
            return str(fault)
        return "ok"


async def _keep_session(_: Any) -> None:
    """Leave a connection as it is. asyncpg has rolled back by then what a lost task left open."""


async def _roll_back(connection: Connection, transaction: Transaction) -> None:
    """Roll back, by closing the connection where there is no other way; the error that led here stays the one to tell.

    A connection that the server has closed is back in the pool by itself; every call of it is an InterfaceError then.
    """
    with suppress(*CONNECTION_LOST):
        if connection.is_closed():
            return
        try:
            await transaction.rollback()
        except (*CONNECTION_LOST, asyncpg.PostgresError):
            connection.terminate()


@contextmanager
def _translated(*, lost: type[Unavailable | OutcomeUnknown]) -> Iterator[None]:
    """Turn the driver's errors into faults; `lost` is what a lost connection means here."""
    try:
        yield
    except _NOT_DONE as error:
        raise Unavailable("the database is busy; try again") from error
    except CONNECTION_LOST as error:
        raise lost("the connection to the database was lost") from error
