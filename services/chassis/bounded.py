"""Reads the body of another server's answer, which may come in pieces, and no more of it than is wanted."""

import aiohttp


class TooLong(aiohttp.ClientError):
    """A body is longer than it may be; `str()` says how long that is."""


async def read_bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the whole body of an answer. Raises TooLong if it has more than `limit` bytes, of which no more are read."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > limit:
            raise TooLong(f"the answer is longer than {limit // 1024} KiB")
    return bytes(body)
