"""Watches Checkouts as `kubectl get -w` does, and notes when each is first seen to have ended."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from tests.bench.measure import Failed
from tests.bench.operator_load.applying import session
from tests.kube import Kube

LINE_BYTES = 1 << 20


class Metadata(msgspec.Struct, rename="camel"):
    """Of a resource."""

    name: str = ""
    resource_version: str = ""


class Status(msgspec.Struct):
    """Of a resource."""

    phase: str = ""


class Checkout(msgspec.Struct):
    """What is looked at of a resource."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    status: Status = msgspec.field(default_factory=Status)


class Event(msgspec.Struct):
    """A line of the watch."""

    type: str
    object: Checkout


class Watcher:
    """Follows all Checkouts of a namespace."""

    def __init__(self, kube: Kube) -> None:
        self.ended: dict[str, float] = {}
        """When the end of each was first seen, in seconds since 1970."""
        self.phases: dict[str, str] = {}
        self._url = kube.checkouts
        self._kube = kube
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled. A watch that the API server ends goes on where it ended."""
        decode = msgspec.json.Decoder(Event).decode
        async with session(self._kube) as client:
            async with client.get(self._url, params={"limit": 1}) as answer:
                version = msgspec.json.decode(await answer.read(), type=Checkout).metadata.resource_version
            while True:
                query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
                async with client.get(self._url, params=query, read_bufsize=LINE_BYTES) as stream:
                    async for line in stream.content:
                        event = decode(line)
                        if event.type == "ERROR":
                            raise Failed(f"the watch of the bench broke: {line[:300]!r}")
                        version = event.object.metadata.resource_version
                        self._see(event.object)

    async def until_ended(self, names: "set[str]", within: float) -> bool:
        """Wait until the ends of all have been seen; False where that takes longer than so many seconds."""
        try:
            async with asyncio.timeout(within):
                while not names <= self.ended.keys():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _see(self, checkout: Checkout) -> None:
        name, phase = checkout.metadata.name, checkout.status.phase
        if phase in {"Completed", "Failed"} and name not in self.ended:
            self.ended[name] = time.time()
            self.phases[name] = phase
            self._changed.set()


@asynccontextmanager
async def following(kube: Kube) -> AsyncIterator[Watcher]:
    """Give what sees resources end from now on. Raises at its end what ended the watch."""
    watcher = Watcher(kube)
    watching = asyncio.create_task(watcher.run())
    try:
        yield watcher
        if watching.done():
            watching.result()  # it follows until it is cancelled, so this raises what ended it
    finally:
        watching.cancel()
