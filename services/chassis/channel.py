"""A gRPC channel that can be replaced, while the stubs that were made of it go on over the new one.

gRPC repeats a failed look-up of a name after a pause that grows to two minutes, and no option bounds it. The name of a service
has no address while none of its pods is ready, so a caller that came up first would find it long after it is there.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from services.chassis.call_streams import SUFFIX, CallStreams

CLOSE_SECONDS = 5.0
"""How long a channel that was replaced stays open: longer than anybody waits for it to connect."""


class RenewableChannel:
    """A channel for stubs, and the state of the one that they use now."""

    def __init__(self, make: Callable[[], grpc.aio.Channel]) -> None:
        """Take what makes a channel."""
        self._make = make
        self._closing: set[asyncio.Task[None]] = set()
        self._streams: dict[str, CallStreams] = {}
        self.current = make()

    def renew(self) -> None:
        """Replace the channel. The old one is closed once nobody waits for it any more."""
        old, self.current = self.current, self._make()
        task = asyncio.create_task(_close_later(old))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def get_state(self, *, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the channel."""
        return self.current.get_state(try_to_connect=try_to_connect)

    async def close(self) -> None:
        """Close the channel, and those that it has replaced."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self.current.close()

    def unary_unary(self, path: str, *args: Any, **options: Any) -> "_Method":
        """Return a method that takes and gives one message; a stub calls it."""
        return _Method(self, "unary_unary", path, args, options)

    def unary_stream(self, path: str, *args: Any, **options: Any) -> "_Method":
        """Return a method that gives a stream of messages; a stub calls it."""
        return _Method(self, "unary_stream", path, args, options)

    def stream_stream(self, path: str, *args: Any, **options: Any) -> CallStreams:
        """Return the streams that carry the calls of the unary method without the suffix; a stub has no other such methods."""
        method = _Method(self, "stream_stream", path, args, options)
        return self._streams.setdefault(path.removesuffix(SUFFIX), CallStreams(method))

    def streams_of(self, path: str) -> CallStreams | None:
        """Return the streams that carry the calls of a unary method; None where the service declares none."""
        return self._streams.get(path)


class _Method:
    """A method of a stub, on whichever channel there is when it is called."""

    def __init__(
        self, channel: RenewableChannel, kind: str, path: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._made = (path, args, options)
        self._method = path.encode()
        self._of: grpc.aio.Channel | None = None
        self._call: Callable[..., Any] | None = None

    @property
    def streams(self) -> CallStreams | None:
        """The streams that carry its calls; None where the service declares none."""
        return self._channel.streams_of(self._made[0])

    def __call__(self, *request: Any, **options: Any) -> Any:
        now = self._channel.current
        if self._call is None or self._of is not now:
            path, args, made_with = self._made
            self._call, self._of = getattr(now, self._kind)(path, *args, **made_with), now
        return self._call(*request, **options)


async def _close_later(channel: grpc.aio.Channel) -> None:
    try:
        await asyncio.sleep(CLOSE_SECONDS)
    finally:
        await channel.close()
