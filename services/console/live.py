"""Live updates: one stream of changes from the checkout service, given on to every open page."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import grpc
from aiohttp import web
from aiohttp_sse import sse_response

from services.chassis.logs import Logger
from services.chassis.run import wait
from services.errors import InternalError, Transient
from services.pb import checkout_pb2

PAUSE_SECONDS = 1.0
"""Between two updates of a page, and before the stream is opened again."""
SESSION_END = web.RequestKey("session_end", int)
"""Where a request holds the time at which its token ends, in seconds since the epoch. Without it nothing ends the session."""
LOOK_SECONDS = 2.0
"""A page is made again after so long without a change, too: attempts and other services are no changes of a checkout."""

Stream = Callable[[], AsyncIterator[checkout_pb2.WatchCheckoutsResponse]]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a page as it is now. `last`: nothing will change any more."""

    html: str
    last: bool = False


@dataclass(slots=True, eq=False)
class _Listener:
    checkout_id: str | None
    """None: every checkout's changes."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Changes:
    """Follows the checkout service while somebody listens, and tells them. With nobody there it costs nothing."""

    def __init__(self, stream: Stream, log: Logger) -> None:
        self._stream = stream
        self._log = log
        self._listeners: set[_Listener] = set()
        self._wanted, self._unwanted = asyncio.Event(), asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until `stopping`, whatever happens to the stream."""
        while not stopping.is_set():
            await _either(self._wanted, stopping)
            if self._listeners:
                following = asyncio.create_task(self._follow())
                await _either(self._unwanted, stopping)
                following.cancel()
                await asyncio.wait([following])

    async def _follow(self) -> None:
        while True:
            try:
                async for change in self._stream():
                    self._tell({checkout.id for checkout in change.checkouts})
            except grpc.RpcError as error:
                self._log.warning("the stream of changes broke; it is opened again", error=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    @contextlib.contextmanager
    def listen(self, checkout_id: str | None) -> Iterator[asyncio.Event]:
        """Give an event that is set when the checkout, or any, has changed."""
        listener = _Listener(checkout_id)
        self._listeners.add(listener)
        self._unwanted.clear()
        self._wanted.set()
        try:
            yield listener.changed
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._wanted.clear()
                self._unwanted.set()

    def _tell(self, ids: set[str]) -> None:
        for listener in self._listeners:
            if listener.checkout_id is None or listener.checkout_id in ids:
                listener.changed.set()


async def follow(
    request: web.Request,
    make: Callable[[], Awaitable[Fragment]],
    changes: Changes,
    stopping: asyncio.Event,
    *,
    checkout_id: str | None = None,
) -> web.StreamResponse:
    """Send a fragment whenever it has changed, until it is the last, the page is closed, the console stops, or the session ends.

    A session ends with its token. The page's script asks again then, and is told that it needs a new login.
    While a part of the platform does not answer, nothing is sent, and the page stays as it is. NotFound, before anything is
    sent: there is nothing to follow.
    """
    shown = ""
    ends_at = request.get(SESSION_END, math.inf)
    fragment = await _made(make)
    async with sse_response(request) as response:
        with changes.listen(checkout_id) as changed:
            while response.is_connected() and not stopping.is_set() and (left := ends_at - time.time()) > 0:
                if fragment is not None and fragment.html != shown:
                    shown = fragment.html
                    await response.send(shown, event="update")
                if fragment is not None and fragment.last:
                    await response.send("", event="end")
                    break
                await wait(stopping, min(PAUSE_SECONDS, left))
                await _either(changed, stopping, min(LOOK_SECONDS, max(0.0, ends_at - time.time())))
                changed.clear()
                fragment = await _made(make)
    return response


async def _made(make: Callable[[], Awaitable[Fragment]]) -> Fragment | None:
    """Return the fragment as it is now; None while it cannot be made."""
    try:
        return await make()
    except (Transient, InternalError):
        return None


async def _either(changed: asyncio.Event, stopping: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of them is set, at most so long; None: for as long as it takes."""
    tasks = [asyncio.create_task(changed.wait()), asyncio.create_task(stopping.wait())]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
