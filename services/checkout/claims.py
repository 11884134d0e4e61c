"""Claiming: reading what is to be bought and taking it, under the rule that no unit of a cart is bought twice.

What completed checkouts bought is removed from the cart before it is read; a claim holds only if no other checkout of the
cart stands in the way at the version that was read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.checkout.domain import (
    AnotherRunning,
    CartBusy,
    Claim,
    EmptyCart,
    Line,
    LostLease,
    MissingProduct,
    Purchase,
    Reason,
    Session,
    Status,
    Step,
    UnknownProducts,
)
from services.checkout.saga import Move
from services.errors import Fault, NotFound, OutcomeUnknown, Unavailable

CLAIM_SECONDS = 3.0
"""How long an accepted checkout tries to claim before it makes way for others; less than its lease."""
TURN_SECONDS = 1.0
"""How long it pauses at most while another checkout has the cart."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """What is to be bought, before its price is known.

    `line_id` is empty where no cart is involved; `name` is the one that the cart kept, None where it has none.
    """

    line_id: str
    product_id: int
    quantity: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CartContent:
    """A cart as a claim reads it, at a version of the document."""

    version: int
    lines: tuple[Unpriced, ...]


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


class Claimed(Protocol):
    """The rows of checkouts, as claiming needs them."""

    async def still_in_cart(self, user_id: int) -> Sequence[Purchase]:
        """Give the user's purchases whose removal from the cart is not yet known of."""

    async def in_the_way(self, user_id: int, cart_version: int) -> Sequence[Session]:
        """Give the checkouts that bar a claim at this version of the cart."""

    async def claim_accepted(self, session: Session, claim: Claim) -> Session | None:
        """Take an accepted checkout to CLAIMED; None where something bars it. LostLease: another process drives it."""

    async def load(self, checkout_id: str) -> Session:
        """Read a row; UnknownCheckout when there is none."""


class Claimer:
    """Fits the driver's port Claims."""

    def __init__(self, sessions: Claimed, carts: Carts, prices: Prices) -> None:
        self._sessions = sessions
        self._carts = carts
        self._prices = prices

    async def claim(self, session: Session) -> Session | Move:
        """Claim what an accepted checkout wants, or say why it never will; CartBusy: it waits its turn."""

        async def take(claim: Claim) -> Session | None:
            return await self._sessions.claim_accepted(session, claim)

        try:
            if session.source == "cart":
                ends_at = asyncio.get_running_loop().time() + CLAIM_SECONDS
                return await self.claim_cart(session.user_id, session.key, take, ends_at)
            return await self._claim_items(session, take)
        except EmptyCart:
            return Move(Step.FAILED, Reason.EMPTY_CART)
        except UnknownProducts as unknown:
            return Move(Step.FAILED, Reason.UNKNOWN_PRODUCT, unknown.ids)
        except AnotherRunning as other:
            raise CartBusy(f"waits for checkout {other.checkout_id} of the cart", retry_after=TURN_SECONDS) from other
        except OutcomeUnknown:
            there = await self._sessions.load(session.id)
            if there.step is Step.CLAIMED and there.lease_epoch == session.lease_epoch:
                return there
            raise

    async def claim_cart(
        self, user_id: int, key: str, take: Callable[[Claim], Awaitable[Session | None]], ends_at: float
    ) -> Session:
        """Claim the user's cart; EmptyCart, UnknownProducts, AnotherRunning, or Unavailable after `ends_at`."""
        bought = {purchase.checkout_id: purchase for purchase in await self._sessions.still_in_cart(user_id)}
        while asyncio.get_running_loop().time() < ends_at:
            content = await self._carts.content(user_id, list(bought.values()))
            if not content.lines:
                raise EmptyCart
            lines, currency = await self._priced(content.lines)
            session = await take(Claim(user_id, key, lines, currency, content.version, tuple(bought)))
            if session:
                return session
            for other in await self._sessions.in_the_way(user_id, content.version):
                if other.status is Status.PROCESSING:
                    raise AnotherRunning(other.id)
                bought[other.id] = Purchase(other.id, tuple((line.line_id, line.quantity) for line in other.lines))
        raise Unavailable("the cart is being bought; try again", retry_after=1)

    async def _claim_items(self, session: Session, take: Callable[[Claim], Awaitable[Session | None]]) -> Session:
        wanted = tuple(Unpriced("", line.product_id, line.quantity) for line in session.lines)
        lines, currency = await self._priced(wanted)
        claimed = await take(Claim(session.user_id, session.key, lines, currency, 0, ()))
        if claimed is None:
            raise LostLease(session.id)
        return claimed

    async def _priced(self, wanted: Sequence[Unpriced]) -> tuple[tuple[Line, ...], str]:
        """Give the lines at the prices of now, and their currency; UnknownProducts names all that have none."""
        products = await self._prices.priced([one.product_id for one in wanted])
        lines: list[Line] = []
        missing: list[MissingProduct] = []
        currency = ""
        for one, product in zip(wanted, products, strict=True):
            if isinstance(product, NotFound):
                missing.append(MissingProduct(one.product_id, one.name))
            elif isinstance(product, Fault):
                raise product
            else:
                currency = product.currency
                lines.append(Line(one.line_id, one.product_id, product.name, product.price_minor, one.quantity))
        if missing:
            raise UnknownProducts(missing)
        return tuple(lines), currency
