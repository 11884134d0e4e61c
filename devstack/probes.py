"""Whether a part answers. Each question closes its connection, whatever comes of it: the supervisor asks ten times a second."""

import asyncio

ANSWER_SECONDS = 2.0


async def listens(host: str, port: int) -> bool:
    """Return whether something answers there."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def serves(host: str, port: int, path: str = "/ready") -> bool:
    """Return whether a process says there that it is ready."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1)
    except (OSError, TimeoutError):
        return False
    return await says_ok(reader, writer, path)


async def says_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bool:
    """Return whether a connection answers 200 for a path within ANSWER_SECONDS, and close it in any case."""
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return b" 200 " in await asyncio.wait_for(reader.readline(), ANSWER_SECONDS)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
