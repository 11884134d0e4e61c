"""Drops the events of other members' resources before kopf reads them.

The API server sends every operator the whole watch. An event costs kopf half a millisecond, and reading its line a fiftieth of
that. Without this filter each operator would spend most of its time on what the others do.
"""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, StreamReader

from checkout_operator.cache import ResourceCache
from checkout_operator.sharding import WHOLE, key_of

REPORTS = frozenset({"ADDED", "MODIFIED", "DELETED"})
"""The types of events that are about a resource. Bookmarks and errors are about the watch, and always kept."""


def middleware(cache: ResourceCache) -> ClientMiddlewareType:
    """Return what filters the watches of a session by the shard, as it is at each event."""

    async def filtered(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        if cache.shard != WHOLE and request.url.query.get("watch") == "true":
            stream = FilteredStream(response.content, cache.owns)
            response.content = cast("StreamReader", stream)
        return response

    return filtered


class FilteredStream:
    """The body of a watch, read by `iter_chunked` as kopf does, without the lines of what is not owned."""

    def __init__(self, content: StreamReader, owns: Callable[[str], bool]) -> None:
        self._content = content
        self._owns = owns

    def __getattr__(self, name: str) -> Any:
        """Return anything else of the body as it is."""
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield whole lines, as many as have come; at the end what is left of a line."""
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            if kept := [line for line in lines if self._keeps(line)]:
                yield b"\n".join([*kept, b""])
        if rest:
            yield rest

    def _keeps(self, line: bytes) -> bool:
        """Return whether a line is for kopf: one that it cannot read is, so that it says so."""
        try:
            event = json.loads(line)
            return event["type"] not in REPORTS or self._owns(key_of(event["object"]))
        except (ValueError, LookupError, TypeError, AttributeError):
            return True
