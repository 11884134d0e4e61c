"""Changing carts: pure functions under a compare-and-set on the document's version, within the cache's protocol.

Before a document changes, the cached value is invalidated and readers bypass the cache; a writer never stores a value. The changes
of many users share each round trip, and each has its own outcome: what is said of one user below holds whatever becomes of others.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from weakref import WeakValueDictionary

from services.cart.domain import Cart, Change, new_id
from services.errors import Fault, InternalError, OutcomeUnknown, Unavailable

CHANGE_SECONDS = 1.5
"""How long a change is tried. With the last write's own time, 3 s, it stays below the 5 s of the cache's token."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Lets a reader fill the cache, until a writer comes by or another reader takes a lease."""

    id: str


@dataclass(frozen=True, slots=True)
class Token:
    """Keeps readers off the cached value while a write is under way."""

    id: str


class Carts(Protocol):
    """The store of the documents. Each method returns an outcome or an error for each item, in their order."""

    async def read(self, user_ids: Sequence[int]) -> Sequence[Cart | Exception]:
        """Read documents from the primary; a cart that was never written has version 0. Unavailable: it could not be read."""

    async def replace(self, changes: Sequence[tuple[Cart, Cart]]) -> Sequence[bool | Exception]:
        """Write the second cart of each pair if the document still has the version of the first; return whether it did.

        Unavailable: it was not written. OutcomeUnknown: it may have been. A user occurs once in a call.
        """


class Cache(Protocol):
    """The cache of documents. A cache that is unavailable is a miss."""

    async def read(self, user_ids: Sequence[int]) -> Sequence[Cart | Lease | None]:
        """Return the cached cart of each user, or the lease under which a reader may fill it. None: a reader may not fill it."""

    async def fill(self, fills: Sequence[tuple[Cart, Lease]]) -> None:
        """Store what was read, if the lease is still valid."""

    async def begin_writes(self, user_ids: Sequence[int]) -> Sequence[Token | Unavailable | None]:
        """Invalidate the values, and return a token for each user. None: the cache is known to be unavailable.

        Unavailable when neither is certain: a write that readers may not see must not be acknowledged.
        """

    async def end_writes(self, writes: Sequence[tuple[int, Token | None]]) -> None:
        """Let readers use the cache again, for each (user, token); it holds no value."""


@dataclass(slots=True)
class _Write:
    """The change of one user under way."""

    user_id: int
    change: Change
    cart: Cart = field(init=False)
    """The document as it was last read."""
    after: Cart = field(init=False)
    """What is to be written next."""
    token: Token | None = None
    unconfirmed: list[Cart] = field(default_factory=list)
    """Writes without a reply, which may be applied later."""
    outcome: Cart | Exception | None = None

    def prepare(self, cart: Cart, now: datetime) -> None:
        """Prepare the next write to a document, or note the outcome where there is nothing to write."""
        self.cart = cart
        try:
            after = self.change(cart)
        except Exception as error:  # noqa: BLE001 - the outcome of this user
            self.outcome = error
            return
        if after == cart:
            self.outcome = cart
        else:
            self.after = replace(after, updated_at=now if after.lines else None, write_id=new_id())

    def note_reply(self, *, done: bool | Exception) -> None:
        """Note what the store says about the write."""
        if done is True:
            self.outcome = self.after
        elif isinstance(done, OutcomeUnknown):
            self.unconfirmed.append(self.after)
        elif isinstance(done, Exception):
            self.outcome = self._unknown_after(done)

    def note_document(self, there: Cart | Exception, now: datetime) -> None:
        """Note the document as it is after a write that did not succeed or has no reply, and prepare the next write."""
        if isinstance(there, Exception):
            self.outcome = self._unknown_after(there)
        elif there in self.unconfirmed:
            self.outcome = there
        elif self.unconfirmed and there.version != self.cart.version:
            self.outcome = OutcomeUnknown("the reply to a write was lost, and the cart has changed since")
        else:
            self.prepare(there, now)

    def give_up(self) -> None:
        """End a change that has had its time."""
        self.outcome = self._unknown_after(Unavailable("the cart is being changed; try again"))

    @property
    def may_be_applied_later(self) -> bool:
        """Whether readers must bypass the cache until the token expires."""
        error = self.outcome
        if isinstance(error, OutcomeUnknown | InternalError):
            return True
        return isinstance(error, Exception) and not isinstance(error, Fault)

    def _unknown_after(self, error: Exception) -> Exception:
        """Return an error as it is, or OutcomeUnknown where an earlier write of this change may still be applied."""
        if self.unconfirmed and isinstance(error, Unavailable):
            unknown = OutcomeUnknown("the reply to a write was lost")
            unknown.__cause__ = error
            return unknown
        return error


class CartWriter:
    """Applies changes to the carts of all users."""

    def __init__(self, carts: Carts, cache: Cache, *, clock: Callable[[], datetime]) -> None:
        self._carts = carts
        self._cache = cache
        self._clock = clock
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def change(self, wanted: Sequence[tuple[int, Change]]) -> list[Cart | Exception]:
        """Apply the change of each (user, change), in order where a user occurs twice.

        Returns the cart after each change, or its error. OutcomeUnknown: it may or may not have been applied.
        """
        outcomes: dict[int, Cart | Exception] = {}
        left = dict(enumerate(wanted))
        while left:
            now: dict[int, int] = {}  # user -> position; the first change of each user that is left
            for position, (user_id, _) in left.items():
                now.setdefault(user_id, position)
            changes = {user_id: left.pop(position)[1] for user_id, position in now.items()}
            done: Mapping[int, Cart | Exception]
            try:
                done = await self._change_once(changes)
            except Exception as error:  # noqa: BLE001 - an outcome: whoever repeats the batch would repeat what was applied
                done = dict.fromkeys(changes, error)
            for user_id, position in now.items():
                outcomes[position] = done[user_id]
        return [outcomes[position] for position in range(len(wanted))]

    async def _change_once(self, changes: dict[int, Change]) -> dict[int, Cart | Exception]:
        """Apply one change of each user. The locks only make lost compare-and-sets rare."""
        async with AsyncExitStack() as stack:
            for user_id in sorted(changes):  # in one order, so that two batches cannot wait for each other
                await stack.enter_async_context(self._locks.setdefault(user_id, asyncio.Lock()))
            outcomes: dict[int, Cart | Exception] = {}
            writes: list[_Write] = []
            for user_id, cart in zip(changes, await self._carts.read(list(changes)), strict=True):
                if isinstance(cart, Exception):
                    outcomes[user_id] = cart
                    continue
                write = _Write(user_id, changes[user_id])
                write.prepare(cart, self._clock())
                if write.outcome is None:
                    writes.append(write)
                else:
                    outcomes[user_id] = write.outcome
            if writes:
                await self._write(writes)
            return outcomes | {write.user_id: write.outcome for write in writes if write.outcome is not None}

    async def _write(self, writes: Sequence[_Write]) -> None:
        """Write under the cache's protocol; each write has its outcome then."""
        begun: list[_Write] = []
        tokens = await self._cache.begin_writes([write.user_id for write in writes])
        for write, token in zip(writes, tokens, strict=True):
            if isinstance(token, Unavailable):
                write.outcome = token
            else:
                write.token = token
                begun.append(write)
        await self._compare_and_set(begun)
        ended = [(write.user_id, write.token) for write in begun if not write.may_be_applied_later]
        if ended:
            await self._cache.end_writes(ended)

    async def _compare_and_set(self, writes: Sequence[_Write]) -> None:
        """Try each write until it is the next version of its cart, or has had its time."""
        ends_at = asyncio.get_running_loop().time() + CHANGE_SECONDS
        while writes and asyncio.get_running_loop().time() < ends_at:
            replies = await self._carts.replace([(write.cart, write.after) for write in writes])
            for write, done in zip(writes, replies, strict=True):
                write.note_reply(done=done)
            writes = [write for write in writes if write.outcome is None]
            if writes:
                there = await self._carts.read([write.user_id for write in writes])
                for write, cart in zip(writes, there, strict=True):
                    write.note_document(cart, self._clock())
            writes = [write for write in writes if write.outcome is None]
        for write in writes:
            write.give_up()
