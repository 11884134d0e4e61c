"""Starting, joining, replaying and looking up checkouts."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.checkout.claims import Claimer
from services.checkout.domain import (
    AnotherRunning,
    Claim,
    EmptyCart,
    LostLease,
    Origin,
    Session,
    Status,
    UnknownCheckout,
    UnknownProducts,
    Wanted,
)
from services.errors import Fault, OutcomeUnknown, Transient, Unavailable

V = TypeVar("V")

POLL_LEAST = 0.02
POLL_MOST = 0.2  # seconds between looks at a saga that another process drives


class Sessions(Protocol):
    """The rows of checkouts, as starting one needs them."""

    async def find(self, user_id: int, origin: Origin, key: str) -> Session | None:
        """Give the checkout of a key."""

    async def get(self, user_id: int, checkout_ids: Sequence[str]) -> Sequence[Session]:
        """Give those of the user's checkouts that exist."""

    async def load(self, checkout_id: str) -> Session:
        """Read a row; UnknownCheckout when there is none."""

    async def claim(self, claim: Claim) -> Session | None:
        """Insert the checkout under the claim rule; None where something bars it."""

    async def accepted(self, wanted: Wanted) -> Session | None:
        """Give the checkout of a resource's key; KeyReused where it is of something else."""

    async def accept(self, wanted: Wanted) -> Session | None:
        """Insert a checkout that has claimed nothing yet; None where its key is taken."""

    async def ask_cancel(self, wanted: Wanted) -> Session | None:
        """Note that a running checkout is to be cancelled; None where none of these items runs under the key."""

    async def entomb(self, wanted: Wanted) -> Session | None:
        """Insert a checkout that has failed as cancelled; None where its key is taken."""


@dataclass(frozen=True, slots=True)
class Start:
    """A wish to buy the user's cart, and how many seconds its answer may take."""

    user_id: int
    key: str
    wait: float


@dataclass(frozen=True, slots=True)
class Started:
    """A checkout, and whether it had ended before this request came."""

    session: Session
    replayed: bool


class Checkouts:
    """One purchase out of one intention."""

    def __init__(
        self,
        sessions: Sessions,
        claimer: Claimer,
        advance: Callable[[Session], Coroutine[Any, Any, Session]],
        *,
        notify: Callable[[Session, Fault], None],
    ) -> None:
        self._sessions = sessions
        self._claimer = claimer
        self._advance = advance
        self._notify = notify
        self._claiming: dict[tuple[int, str], asyncio.Task[Session]] = {}
        self._driven: dict[str, asyncio.Task[Session | None]] = {}

    @property
    def driven(self) -> Sequence[str]:
        """The checkouts that this process drives, whose leases it must renew."""
        return list(self._driven)

    async def drain(self) -> None:
        """Wait for the sagas under way to end or to be parked."""
        while self._driven:
            await asyncio.wait(self._driven.values())

    async def start(self, wishes: Sequence[Start | Wanted]) -> Sequence[Started | Fault]:
        """Start, join or replay a checkout for each wish, each within its own time; what resources want is accepted."""

        async def one(wish: Start | Wanted) -> Started:
            return await (self._start(wish) if isinstance(wish, Start) else self._accept(wish))

        return await asyncio.gather(*(self._fault_as_value(one(wish)) for wish in wishes))

    async def cancel(self, wishes: Sequence[Wanted]) -> Sequence[Session | Fault]:
        """Cancel what is not yet paid; a key without a checkout gets one that has failed, so that it never buys later."""
        return await asyncio.gather(*(self._fault_as_value(self._cancel(wish)) for wish in wishes))

    async def find(self, keys: Sequence[tuple[int, Origin, str]]) -> Sequence[Session | Fault]:
        """Give the checkout of each (user id, origin, key)."""

        async def one(user_id: int, origin: Origin, key: str) -> Session:
            found = await self._sessions.find(user_id, origin, key)
            if found is None:
                raise UnknownCheckout
            return found

        return await asyncio.gather(*(self._fault_as_value(one(*key)) for key in keys))

    async def get(self, asked: Sequence[tuple[int, str]]) -> Sequence[Session | Fault]:
        """Give the checkout of each (user id, checkout id); another user's is not found."""

        async def one(user_id: int, checkout_id: str) -> Session:
            found = await self._sessions.get(user_id, [checkout_id])
            if not found:
                raise UnknownCheckout
            return found[0]

        return await asyncio.gather(*(self._fault_as_value(one(*pair)) for pair in asked))

    @staticmethod
    async def _fault_as_value(work: Awaitable[V]) -> V | Fault:
        try:
            return await work
        except Fault as fault:
            return fault

    async def _start(self, wish: Start) -> Started:
        ends_at = asyncio.get_running_loop().time() + wish.wait
        known = await self._sessions.find(wish.user_id, Origin.REST, wish.key)
        if known and known.status is not Status.PROCESSING:
            return Started(known, replayed=True)
        session = known or await self._claim_once(wish, ends_at)
        return Started(await self._ended(session, ends_at), replayed=False)

    async def _claim_once(self, wish: Start, ends_at: float) -> Session:
        """Claim, or join a claim of the same key in this process."""
        key = (wish.user_id, wish.key)
        task = self._claiming.get(key)
        if task is None:
            task = asyncio.create_task(self._claim(wish, ends_at))
            self._claiming[key] = task
            task.add_done_callback(lambda _: self._claiming.pop(key, None))
        return await asyncio.shield(task)

    async def _claim(self, wish: Start, ends_at: float) -> Session:
        known = await self._sessions.find(wish.user_id, Origin.REST, wish.key)
        if known:
            return known
        try:
            session = await self._claim_cart(wish, ends_at)
        except OutcomeUnknown:
            return await self._second_look(
                wish, Unavailable("the checkout could not be started; repeat it with the same key")
            )
        except (EmptyCart, UnknownProducts, AnotherRunning) as refusal:
            return await self._second_look(wish, refusal)
        self._drive(session)
        return session

    async def _second_look(self, wish: Start, refusal: Fault) -> Session:
        """No refusal leaves while the key has a checkout after all: it may have been claimed meanwhile."""
        known = await self._sessions.find(wish.user_id, Origin.REST, wish.key)
        if known is None:
            raise refusal
        return known

    async def _claim_cart(self, wish: Start, ends_at: float) -> Session:
        async def take(claim: Claim) -> Session | None:
            session = await self._sessions.claim(claim)
            if session is None and await self._sessions.find(wish.user_id, Origin.REST, wish.key):
                raise AnotherRunning("")  # the second look finds it
            return session

        return await self._claimer.claim_cart(wish.user_id, wish.key, take, ends_at)

    async def _accept(self, wanted: Wanted) -> Started:
        known = await self._sessions.accepted(wanted)
        if known is None:
            session = await self._sessions.accept(wanted)
            if session is not None:
                self._drive(session)
                return Started(session, replayed=False)
            known = await self._sessions.accepted(wanted)
        if known is None:
            raise Unavailable("the checkout could not be accepted; repeat it with the same key")
        return Started(known, replayed=known.status is not Status.PROCESSING)

    async def _cancel(self, wanted: Wanted) -> Session:
        # It may be accepted between two of these: where there is no room for a tomb a row is there, which is then told.
        rows = self._sessions
        for attempt in (rows.ask_cancel, rows.entomb, rows.ask_cancel, rows.accepted):
            if found := await attempt(wanted):
                return found
        raise Unavailable("the checkout could not be cancelled; repeat it")  # it has just been made: the next finds it

    def _drive(self, session: Session) -> None:
        task = asyncio.create_task(self._driving(session))
        self._driven[session.id] = task
        task.add_done_callback(lambda _: self._driven.pop(session.id, None))

    async def _driving(self, session: Session) -> Session | None:
        """Drive a saga; what stops it is told, and recovery goes on with it."""
        try:
            return await self._advance(session)
        except (Transient, LostLease) as fault:
            self._notify(session, fault)
            return None

    async def _ended(self, session: Session, ends_at: float) -> Session:
        """Wait for the end of a checkout, whoever drives it; past the time give it as it is."""
        loop = asyncio.get_running_loop()
        task = self._driven.get(session.id)
        if task is not None:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, ends_at - loop.time()))
            if done and (ended := task.result()):
                return ended
        pause = POLL_LEAST
        while session.status is Status.PROCESSING and loop.time() + pause < ends_at:
            await asyncio.sleep(pause)
            pause = min(POLL_MOST, pause * 2)
            session = await self._sessions.load(session.id)
        return session
