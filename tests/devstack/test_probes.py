"""Whether a part answers."""

import asyncio

from devstack import probes


async def test_a_silent_part_keeps_no_connection_open(monkeypatch):
    """A part that takes a connection and does not answer in time is not ready, and the connection to it is closed."""
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.05)
    ended = asyncio.Event()

    async def say_nothing(reader, writer):
        await reader.read()  # until the other side closes
        ended.set()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        assert not await probes.serves(*server.sockets[0].getsockname())
        async with asyncio.timeout(10):
            await ended.wait()
