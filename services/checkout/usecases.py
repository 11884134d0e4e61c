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
    KeyClaimed,
    Lookup,
    Origin,
    Purchase,
    ResourceRequest,
    Session,
    Status,
    UnknownCheckout,
    UnknownProducts,
)
from services.checkout.running import Running
from services.error_codes import ErrorCode
from services.errors import Fault, OutcomeUnknown, Unavailable

V = TypeVar("V")

MOST_RUNNING = 512
"""Checkouts that this process claims and drives at once: what one process completes within the time that a shopper waits."""
MOST_RESOURCES = 128
"""Checkouts of resources that it drives at once. Nobody waits for them, so shoppers need not wait behind them."""
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.02, 0.2  # between looks at a saga that another process drives


class Sessions(Protocol):
    """The rows of checkouts, as starting one needs them."""

    async def lookup(self, user_id: int, key: str) -> Lookup:
        """Return the checkout of a REST key, and the user's purchases that are not known to be gone from the cart."""

    async def find(self, user_id: int, origin: Origin, key: str) -> Session | None:
        """Return the checkout of a key; None when the key has none."""

    async def get(self, user_id: int, checkout_id: str) -> Session | None:
        """Return the user's checkout; None when there is none."""

    async def load(self, checkout_id: str) -> Session:
        """Read a row; UnknownCheckout when there is none."""

    async def claim(self, claim: Claim) -> Session | None:
        """Insert the checkout under the claim rule; None where something conflicts, or the key exists."""

    async def find_accepted(self, request: ResourceRequest) -> Session | None:
        """Return the checkout of a resource's key; KeyReused when it is of other items."""

    async def accept(self, request: ResourceRequest) -> Session | None:
        """Insert a checkout that has claimed nothing yet; None where the key exists."""

    async def request_cancel(self, request: ResourceRequest) -> Session | None:
        """Note that a running checkout is to be cancelled; None where no checkout of these items runs under the key."""

    async def insert_tombstone(self, request: ResourceRequest) -> Session | None:
        """Insert a checkout that has failed as cancelled, so that its key never buys; None where the key exists."""


@dataclass(frozen=True, slots=True)
class CartRequest:
    """A request to buy the user's cart; its answer is due within `wait` seconds.

    `patience`: how many seconds it may hold up those that came with it. None: as long as it waits.
    """

    user_id: int
    key: str
    wait: float
    patience: float | None = None


class Answer:
    """What a request to start a checkout is answered with, unless it is refused."""


@dataclass(frozen=True, slots=True)
class Started(Answer):
    """A checkout; `replayed` when it had ended before this request came."""

    session: Session
    replayed: bool


@dataclass(frozen=True, slots=True)
class Pending(Answer):
    """A request whose patience was over before it was claimed or refused. The same request joins it."""


class Checkouts:
    """Starts checkouts: one purchase out of one intention."""

    def __init__(
        self,
        sessions: Sessions,
        claimer: Claimer,
        advance: Callable[[Session], Coroutine[Any, Any, Session]],
        *,
        notify: Callable[[Session, Exception], None],
    ) -> None:
        self._sessions = sessions
        self._claimer = claimer
        self._advance = advance
        self._notify = notify
        self._resources = asyncio.Semaphore(MOST_RESOURCES)
        self._claiming: dict[tuple[int, str], asyncio.Task[Session]] = {}
        self._running = Running()

    @property
    def driven(self) -> Sequence[str]:
        """The ids of the checkouts that this process drives, whose leases it must renew."""
        return self._running.ids

    async def drain(self) -> None:
        """Wait until no saga runs in this process: each has ended or is parked."""
        await self._running.drain()

    async def start(self, requests: Sequence[CartRequest | ResourceRequest]) -> Sequence[Answer | Exception]:
        """Start, join or replay a checkout for each request, each within its own time.

        A request of a resource is accepted at once, and not waited for. One whose patience is over is answered with the
        running checkout, or with Pending.
        """

        async def one(request: CartRequest | ResourceRequest) -> Answer:
            return await (self._start(request) if isinstance(request, CartRequest) else self._accept(request))

        return await asyncio.gather(*(self._error_as_value(one(request)) for request in requests))

    async def cancel(self, requests: Sequence[ResourceRequest]) -> Sequence[Session | Exception]:
        """Cancel what is not yet paid; a key without a checkout gets a tombstone, so that it never buys later."""
        return await asyncio.gather(*(self._error_as_value(self._cancel(request)) for request in requests))

    async def find(self, keys: Sequence[tuple[int, Origin, str]]) -> Sequence[Session | Exception]:
        """Return the checkout of each (user id, origin, key), or UnknownCheckout."""

        async def one(user_id: int, origin: Origin, key: str) -> Session:
            found = await self._sessions.find(user_id, origin, key)
            if found is None:
                raise UnknownCheckout
            return found

        return await asyncio.gather(*(self._error_as_value(one(*key)) for key in keys))

    async def get(self, asked: Sequence[tuple[int, str]]) -> Sequence[Session | Exception]:
        """Return the checkout of each (user id, checkout id); UnknownCheckout also for another user's."""

        async def one(user_id: int, checkout_id: str) -> Session:
            found = await self._sessions.get(user_id, checkout_id)
            if found is None:
                raise UnknownCheckout
            return found

        return await asyncio.gather(*(self._error_as_value(one(*pair)) for pair in asked))

    @staticmethod
    async def _error_as_value(work: Awaitable[V]) -> V | Exception:
        try:
            return await work
        except Exception as error:  # noqa: BLE001 - an outcome, which the server reports where it is unexpected
            return error

    async def _start(self, request: CartRequest) -> Answer:
        now = asyncio.get_running_loop().time()
        ends_at = now + request.wait
        answer_at = ends_at if request.patience is None else min(ends_at, now + request.patience)
        if here := self._running.find(request.user_id, request.key):
            ended = here.status is not Status.PROCESSING
            return Started(here if ended else await self._ended(here, answer_at), replayed=ended)
        claiming = self._claiming.get((request.user_id, request.key))
        if claiming is None:
            known = await self._sessions.lookup(request.user_id, request.key)
            if known.session and known.session.status is not Status.PROCESSING:
                return Started(known.session, replayed=True)
            if known.session:
                return Started(await self._ended(known.session, answer_at), replayed=False)
            claiming = self._claim_once(request, known.uncleared, ends_at)
        patience = None if request.patience is None else max(0.0, answer_at - asyncio.get_running_loop().time())
        done, _ = await asyncio.wait({claiming}, timeout=patience)
        if done:
            return Started(await self._ended(claiming.result(), answer_at), replayed=False)
        claiming.add_done_callback(_log_if_unexpected)
        return Pending()

    def _claim_once(self, request: CartRequest, bought: Sequence[Purchase], ends_at: float) -> "asyncio.Task[Session]":
        """Claim, or join a claim of the same key in this process. Unavailable, before anything is done: too many run."""
        key = (request.user_id, request.key)
        task = self._claiming.get(key)
        if task is None:
            if len(self._claiming) + len(self._running) >= MOST_RUNNING:
                raise Unavailable("too many checkouts are running; try again", retry_after=1, code=ErrorCode.OVERLOADED)
            task = asyncio.create_task(self._claim(request, bought, ends_at))
            self._claiming[key] = task
            task.add_done_callback(lambda _: self._claiming.pop(key, None))
        return task

    async def _claim(self, request: CartRequest, bought: Sequence[Purchase], ends_at: float) -> Session:
        try:
            session = await self._claim_cart(request, bought, ends_at)
        except OutcomeUnknown:
            unknown = Unavailable("the checkout could not be started; repeat it with the same key")
            return await self._claimed_by_rival(request, unknown)
        except (EmptyCart, UnknownProducts, AnotherRunning, KeyClaimed) as refusal:
            return await self._claimed_by_rival(request, refusal)
        self._drive(session)
        return session

    async def _claimed_by_rival(self, request: CartRequest, refusal: Fault) -> Session:
        """Return the checkout of the key; raise `refusal` only when the key has none.

        A rival with the same key may have claimed since the key was looked up, and may be why this claim is refused.
        """
        known = await self._sessions.find(request.user_id, Origin.REST, request.key)
        if known is None:
            raise refusal
        return known

    async def _claim_cart(self, request: CartRequest, bought: Sequence[Purchase], ends_at: float) -> Session:
        async def store(claim: Claim) -> Session | None:
            session = await self._sessions.claim(claim)
            if session is None and await self._sessions.find(request.user_id, Origin.REST, request.key):
                raise KeyClaimed
            return session

        return await self._claimer.claim_cart(request.user_id, request.key, store, bought, ends_at)

    async def _accept(self, request: ResourceRequest) -> Started:
        session = await self._sessions.accept(request)
        if session is not None:
            self._drive(session)
            return Started(session, replayed=False)
        known = await self._sessions.find_accepted(request)
        if known is None:
            raise Unavailable("the checkout could not be accepted; repeat it with the same key")
        return Started(known, replayed=known.status is not Status.PROCESSING)

    async def _cancel(self, request: ResourceRequest) -> Session:
        # A rival may accept the checkout between two of these. The tombstone is then refused, and the row is there to cancel.
        rows = self._sessions
        for attempt in (rows.request_cancel, rows.insert_tombstone, rows.request_cancel, rows.find_accepted):
            if found := await attempt(request):
                return found
        raise Unavailable("the checkout could not be cancelled; repeat it")  # it has just been made: the next finds it

    def _drive(self, session: Session) -> None:
        self._running.add(session, asyncio.create_task(self._driving(session)))

    async def _driving(self, session: Session) -> Session | None:
        """Drive a saga; what stops it is reported to `notify`, and recovery goes on with it."""
        try:
            if session.origin is Origin.RESOURCE:
                async with self._resources:
                    return await self._advance(session)
            return await self._advance(session)
        except Exception as error:  # noqa: BLE001 - `notify` reports it where it is unexpected
            self._notify(session, error)
            return None

    async def _ended(self, session: Session, ends_at: float) -> Session:
        """Wait for the end of a checkout, whoever drives it; when the time is over, return it as it is."""
        loop = asyncio.get_running_loop()
        task = self._running.task(session.id)
        if task is not None:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, ends_at - loop.time()))
            if done and (ended := task.result()):
                return ended
        pause = MIN_POLL_SECONDS
        while session.status is Status.PROCESSING and loop.time() + pause < ends_at:
            await asyncio.sleep(pause)
            pause = min(MAX_POLL_SECONDS, pause * 2)
            session = await self._sessions.load(session.id)
        return session


def _log_if_unexpected(claiming: "asyncio.Task[Session]") -> None:
    """Have asyncio log what no request may be there to hear of. A refusal is given again to whoever asks again."""
    error = None if claiming.cancelled() else claiming.exception()
    if error is not None and not isinstance(error, Fault):
        claiming.get_loop().call_exception_handler({"message": "a claim failed unexpectedly", "exception": error})
