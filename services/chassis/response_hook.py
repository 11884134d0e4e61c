"""Hooks that complete the headers of every answer, whichever way its request was read."""

import asyncio
from collections.abc import Callable

from aiohttp import web

Apply = Callable[[asyncio.BaseTransport | None, web.StreamResponse], None]


class ResponseHook:
    """A hook of aiohttp's `on_response_prepare` that waits for nothing.

    aiohttp awaits it as any other hook. An answer of ours calls `apply`, which costs no coroutine and needs no request of aiohttp.
    """

    def __init__(self, apply: Apply) -> None:
        """Take a function of the client's connection, None if the client has left, and the answer."""
        self.apply = apply

    async def __call__(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Apply it to an answer of aiohttp."""
        self.apply(request.transport, response)
