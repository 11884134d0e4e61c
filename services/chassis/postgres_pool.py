"""A pool whose last used connection stays at hand, for the statement that comes next.

Taking a connection from asyncpg's pool and giving it back costs a lone statement as much of the process's time as the statement
itself: a task, two timers and a reset. One saga after another runs a statement, so the connection is kept between them. It goes
back to the pool when somebody waits for one, when it is not used for a second, and now and then, so that the pool's own rules
about old connections hold for it.

Whoever has given a connection back must not use it again: it may be somebody else's by then, and asyncpg does not notice.
"""

import asyncio
import time
from contextlib import suppress
from contextvars import Context
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a reply that the driver cannot make sense of, or that was cut off
    asyncpg.OperatorInterventionError,
    OSError,
    TimeoutError,
)
"""What asyncpg raises where a connection cannot be made, or was lost."""
KEPT_SECONDS = 1.0
"""How long a connection that nobody uses stays at hand."""
MOST_USES = 1000
"""How often a connection is used before it goes back all the same: the pool replaces one after 50,000 statements."""


class PostgresPool:
    """Lends connections of an asyncpg pool."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._at_hand: Connection | None = None
        self._uses: dict[Connection, int] = {}
        """How often each connection was used since it was taken from asyncpg's pool."""
        self._waiting = 0
        self._closing = False
        self._used_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._returning: asyncio.Task[None] | None = None

    async def acquire(self, most: float) -> Connection:
        """Lend the connection at hand, or one of the pool. TimeoutError after `most` seconds, else asyncpg's errors."""
        self._waiting += 1
        try:
            connection = self._take()
            if connection is not None:
                if _is_idle(connection):
                    return connection
                await self._give_back(connection)
            connection = await self._pool.acquire(timeout=most)
            self._uses[connection] = 0
            return connection
        finally:
            self._waiting -= 1

    async def release(self, connection: Connection) -> None:
        """Take a connection back, and keep it at hand where nobody waits for one. asyncpg's errors where the pool fails."""
        uses = self._uses[connection] = self._uses[connection] + 1
        wanted = self._waiting > 0 or self._closing
        if wanted or self._at_hand or uses >= MOST_USES or not _is_idle(connection):
            del self._uses[connection]
            await self._pool.release(connection)
            return
        self._at_hand = connection
        self._used_at = time.monotonic()
        if self._timer is None:
            self._set_timer(KEPT_SECONDS)

    @property
    def exhausted(self) -> bool:
        """Whether every connection that the pool may have is in use."""
        return self._pool.get_size() >= self._pool.get_max_size() and self._pool.get_idle_size() == 0

    async def close(self) -> None:
        """Close the pool once all connections are back, or at once where that is interrupted."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        try:
            if self._returning is not None:
                await self._returning
            if (connection := self._take()) is not None:
                await self._give_back(connection)
            await self._pool.close()
        except BaseException:
            self._pool.terminate()
            raise

    def terminate(self) -> None:
        """Close all connections at once."""
        self._pool.terminate()

    def _take(self) -> "Connection | None":
        connection, self._at_hand = self._at_hand, None
        return connection

    def _set_timer(self, seconds: float) -> None:
        # A context of its own: the timer is nobody's request.
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look, context=Context())

    def _look(self) -> None:
        """Give the connection at hand back if it has not been used for a while; else look again then."""
        self._timer = None
        connection = self._at_hand
        if connection is None:
            return
        left = self._used_at + KEPT_SECONDS - time.monotonic()
        if left > 0:
            self._set_timer(left)
            return
        self._at_hand = None
        self._returning = asyncio.get_running_loop().create_task(self._give_back(connection))

    async def _give_back(self, connection: Connection) -> None:
        del self._uses[connection]
        # A connection that cannot be given back is closed by the pool, and replaced by the next one that is asked for.
        with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
            await self._pool.release(connection)


def _is_idle(connection: Connection) -> bool:
    """Return whether a connection is open and outside a transaction. The pool takes one that is closed back by itself."""
    try:
        return not connection.is_closed() and not connection.is_in_transaction()
    except asyncpg.InterfaceError:
        return False
