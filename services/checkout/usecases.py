"""Starting, joining, replaying and looking up checkouts."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.checkout.domain import (
    AnotherRunning,
    Claim,
    EmptyCart,
    Line,
    LostLease,
    Origin,
    Purchase,
    Session,
    Status,
    UnknownCheckout,
)
from services.errors import Fault, NotFound, OutcomeUnknown, Transient, Unavailable

V = TypeVar("V")

POLL_LEAST = 0.02
POLL_MOST = 0.2  # seconds between looks at a saga that another process drives


@dataclass(frozen=True, slots=True)
class CartContent:
    """A cart as a claim reads it: lines of (line id, product id, quantity), at a version of the document."""

    version: int
    lines: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Priced:
    """A product as a claim needs it; the price is in minor units."""

    product_id: int
    name: str
    price_minor: int
    currency: str


class Carts(Protocol):
    """The cart service."""

    async def content(self, user_id: int, bought: Sequence[Purchase]) -> CartContent:
        """Remove what was bought, then read the document itself."""


class Prices(Protocol):
    """The product service."""

    async def priced(self, product_ids: Sequence[int]) -> Sequence[Priced | Fault]:
        """Give each product as it is now, or NotFound."""


class Sessions(Protocol):
    """The rows of checkouts, as starting one needs them."""

    async def find(self, user_id: int, origin: Origin, key: str) -> Session | None:
        """Give the checkout of a key."""

    async def get(self, user_id: int, checkout_ids: Sequence[str]) -> Sequence[Session]:
        """Give those of the user's checkouts that exist."""

    async def load(self, checkout_id: str) -> Session:
        """Read a row; UnknownCheckout when there is none."""

    async def still_in_cart(self, user_id: int) -> Sequence[Purchase]:
        """Give the user's purchases whose removal from the cart is not yet known of."""

    async def in_the_way(self, user_id: int, cart_version: int) -> Sequence[Session]:
        """Give the checkouts that bar a claim at this version of the cart."""

    async def claim(self, claim: Claim) -> Session | None:
        """Insert the checkout under the claim rule; None where something bars it."""


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
        carts: Carts,
        prices: Prices,
        advance: Callable[[Session], Coroutine[Any, Any, Session]],
        *,
        notify: Callable[[Session, Fault], None],
    ) -> None:
        self._sessions = sessions
        self._carts = carts
        self._prices = prices
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

    async def start(self, wishes: Sequence[Start]) -> Sequence[Started | Fault]:
        """Start, join or replay a checkout for each wish, each within its own time."""
        return await asyncio.gather(*(self._fault_as_value(self._start(wish)) for wish in wishes))

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
        except (EmptyCart, NotFound, AnotherRunning) as refusal:
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
        bought = {purchase.checkout_id: purchase for purchase in await self._sessions.still_in_cart(wish.user_id)}
        while asyncio.get_running_loop().time() < ends_at:
            content = await self._carts.content(wish.user_id, list(bought.values()))
            if not content.lines:
                raise EmptyCart
            lines, currency = await self._priced(content)
            claim = Claim(wish.user_id, wish.key, lines, currency, content.version, tuple(bought))
            session = await self._sessions.claim(claim)
            if session:
                return session
            if await self._sessions.find(wish.user_id, Origin.REST, wish.key):
                raise AnotherRunning("")  # the second look finds it
            for other in await self._sessions.in_the_way(wish.user_id, content.version):
                if other.status is Status.PROCESSING:
                    raise AnotherRunning(other.id)
                bought[other.id] = Purchase(other.id, tuple((line.line_id, line.quantity) for line in other.lines))
        raise Unavailable("the cart is being bought; try again", retry_after=1)

    async def _priced(self, content: CartContent) -> tuple[tuple[Line, ...], str]:
        products = await self._prices.priced([product_id for _, product_id, _ in content.lines])
        lines = []
        currency = ""
        for (line_id, product_id, quantity), product in zip(content.lines, products, strict=True):
            if isinstance(product, Fault):
                raise product
            currency = product.currency
            lines.append(Line(line_id, product_id, product.name, product.price_minor, quantity))
        return tuple(lines), currency

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
