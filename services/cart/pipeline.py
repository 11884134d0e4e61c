"""Many commands to Redis in one round trip.

It stands beside the client library's own pipeline because that one spends, on each command, about as long as everything else
that a cart read costs. Commands are packed here, which RESP makes easy; connections, replies and errors are the library's.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis


def pack(*arguments: bytes) -> bytes:
    """Pack a command as the Redis protocol (RESP) has it: an array of strings."""
    return b"*%d\r\n%b" % (len(arguments), b"".join([b"$%d\r\n%b\r\n" % (len(one), one) for one in arguments]))


class Pipeline:
    """Sends packed commands to one Redis."""

    def __init__(self, url: str, *, within: float) -> None:
        """Connect to `url` when it is first needed. A round trip takes at most `within` seconds, connecting included."""
        # Replies stay bytes: what others put under our keys need not be text. With a socket_timeout the library would set a timer
        # for each reply; one for the round trip is enough.
        self._redis: Any = Redis.from_url(url, socket_timeout=None, socket_connect_timeout=within)
        self._within = within

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def ping(self) -> None:
        """Raise RedisError, OSError or TimeoutError where Redis does not answer."""
        async with asyncio.timeout(self._within):
            await self._redis.ping()

    async def send(self, commands: Iterable[bytes], *, replies: int) -> Sequence[Any]:
        """Send commands and return their replies, in order. A command that Redis refuses has its ResponseError as its reply.

        RedisError, OSError, TimeoutError: Redis did not answer; the commands may have been carried out.
        """
        async with asyncio.timeout(self._within):
            connection = await self._redis.connection_pool.get_connection()
            complete = False
            try:
                await connection.send_packed_command(b"".join(commands))
                # Past the connection's own read_response, which costs more for each reply than all else that is done for a cart: it
                # looks at settings of timeouts and health checks that are not used here.
                read = connection._parser.read_response  # noqa: SLF001
                answers = [await read() for _ in range(replies)]
                complete = True
                return answers
            finally:
                if not complete:  # what is still to come must not be taken for the replies to somebody else's commands
                    await connection.disconnect(nowait=True)
                await self._redis.connection_pool.release(connection)
