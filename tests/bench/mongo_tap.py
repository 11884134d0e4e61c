"""A wire between the cart service and its MongoDB server on which every command is counted.

mongod has counters of its own, but a MongoDB-compatible server need not: the one of devstack has none. The bytes pass
unchanged; only the head of each message that a client sends is read (wire protocol, OP_MSG).
"""

import asyncio
import struct
import threading
from collections import Counter
from typing import Self

import bson

HEAD = struct.Struct("<iiii")
OP_MSG = 2013
HANDSHAKE = frozenset({"hello", "ismaster", "isMaster", "ping", "endSessions", "saslStart", "buildInfo"})
"""What a driver sends to look after its connections, whatever users do."""


def command(message: bytes) -> str:
    """Give the name of the command that a message holds; "legacy" for one of the old kinds, which drivers greet with."""
    _, _, _, kind = HEAD.unpack_from(message)
    if kind != OP_MSG:
        return "legacy"
    at = HEAD.size + 4  # the flags
    while message[at]:  # a section of another kind before the body
        at += 1 + struct.unpack_from("<i", message, at + 1)[0]
    size = struct.unpack_from("<i", message, at + 1)[0]
    return next(iter(bson.decode(message[at + 1 : at + 1 + size])))


class MongoTap:
    """Listens on a free port of this machine, and passes everything on; `counts` has the commands by their names."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self.counts: Counter[str] = Counter()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(5)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(*self._behind)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._there(reader, behind_writer))
                both.create_task(_pass_on(behind_reader, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # either side has closed it
        finally:
            writer.close()
            behind_writer.close()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(HEAD.size)
            message = head + await reader.readexactly(HEAD.unpack(head)[0] - HEAD.size)
            if (name := command(message)) not in HANDSHAKE and name != "legacy":
                self.counts[name] += 1
            writer.write(message)
            await writer.drain()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise asyncio.IncompleteReadError(b"", None)
