"""Claiming what a checkout buys, under the rule that no unit of a cart is bought twice.

The lines of completed checkouts are removed from the cart before it is read. The claim is then stored only if no other
checkout of the cart conflicts with it at the version that was read (docs/decisions/0004-the-claim-rule.md).
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
    Source,
    Status,
    Step,
    UnknownProducts,
    cart_purchase,
)
from services.checkout.saga import Move
from services.errors import Fault, NotFound, OutcomeUnknown, Unavailable

CLAIM_SECONDS = 3.0
"""How long an accepted checkout tries to claim before it is parked; less than its lease."""
MAX_WAIT_SECONDS = 1.0
"""How long it pauses at most while another checkout of the cart runs."""

StoreClaim = Callable[[Claim], Awaitable[Session | None]]
"""Stores a claim and returns its session; None where another checkout conflicts with it."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A line to buy, before its price is known.

    `line_id` is None for an item of a resource. `name` is the name that the cart kept; None where it kept none.
    """

    line_id: str | None
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
    """A product at its present price, in minor units."""

    product_id: int
    name: str
    price_minor: int
    currency: str


class Carts(Protocol):
    """The cart service."""

    async def content(self, user_id: int, bought: Sequence[Purchase]) -> CartContent:
        """Remove the purchases from the cart, then read the document past every cache."""


class Prices(Protocol):
    """The product service."""

    async def priced(self, product_ids: Sequence[int]) -> Sequence[Priced | Fault]:
        """Return each product as it is now, or NotFound for one that is not in the catalogue."""


class Sessions(Protocol):
    """The rows of checkouts, as claiming needs them."""

    async def uncleared_purchases(self, user_id: int) -> Sequence[Purchase]:
        """Return the user's purchases of the cart that are not known to be gone from it."""

    async def conflicting(self, user_id: int, cart_version: int) -> Sequence[Session]:
        """Return the checkouts that conflict with a claim at this version of the cart."""

    async def claim_accepted(self, session: Session, claim: Claim) -> Session | None:
        """Bring an accepted checkout to CLAIMED; None where something conflicts. LostLease: another process drives it."""

    async def load(self, checkout_id: str) -> Session:
        """Read a row; UnknownCheckout when there is none."""


class Claimer:
    """Reads carts and prices, and stores claims. Fits the driver's port Claims."""

    def __init__(self, sessions: Sessions, carts: Carts, prices: Prices) -> None:
        self._sessions = sessions
        self._carts = carts
        self._prices = prices

    async def claim(self, session: Session) -> Session | Move:
        """Claim what an accepted checkout buys, or return the move to its failure. CartBusy: it waits for another."""

        async def store(claim: Claim) -> Session | None:
            return await self._sessions.claim_accepted(session, claim)

        try:
            if session.source is Source.CART:
                ends_at = asyncio.get_running_loop().time() + CLAIM_SECONDS
                bought = await self._sessions.uncleared_purchases(session.user_id)
                return await self.claim_cart(session.user_id, session.key, store, bought, ends_at)
            return await self._claim_items(session, store)
        except EmptyCart:
            return Move(Step.FAILED, Reason.EMPTY_CART)
        except UnknownProducts as unknown:
            return Move(Step.FAILED, Reason.UNKNOWN_PRODUCT, unknown.ids)
        except AnotherRunning as other:
            raise CartBusy(
                f"waits for checkout {other.checkout_id} of the cart", retry_after=MAX_WAIT_SECONDS
            ) from other
        except OutcomeUnknown:
            there = await self._sessions.load(session.id)
            if there.step is Step.CLAIMED and there.lease_epoch == session.lease_epoch:
                return there
            raise

    async def claim_cart(
        self, user_id: int, key: str, store: StoreClaim, bought: Sequence[Purchase], ends_at: float
    ) -> Session:
        """Claim the user's cart; EmptyCart, UnknownProducts, AnotherRunning, or Unavailable after `ends_at`.

        `bought` are the purchases of the cart that are not known to be gone from it. One that is missing there conflicts
        with the claim, and is removed then.
        """
        gone = {purchase.checkout_id: purchase for purchase in bought}
        while asyncio.get_running_loop().time() < ends_at:
            content = await self._carts.content(user_id, list(gone.values()))
            if not content.lines:
                raise EmptyCart
            lines, currency = await self._priced(content.lines)
            session = await store(Claim(user_id, key, lines, currency, content.version, tuple(gone)))
            if session:
                return session
            for other in await self._sessions.conflicting(user_id, content.version):
                if other.status is Status.PROCESSING:
                    raise AnotherRunning(other.id)
                gone[other.id] = cart_purchase(other.id, other.lines)
        raise Unavailable("the cart is being bought; try again", retry_after=1)

    async def _claim_items(self, session: Session, store: StoreClaim) -> Session:
        unpriced = tuple(Unpriced(None, line.product_id, line.quantity) for line in session.lines)
        lines, currency = await self._priced(unpriced)
        claimed = await store(Claim(session.user_id, session.key, lines, currency))
        if claimed is None:
            raise LostLease(session.id)
        return claimed

    async def _priced(self, unpriced: Sequence[Unpriced]) -> tuple[tuple[Line, ...], str]:
        """Return the lines at the prices of now, and their currency; UnknownProducts names all that have none."""
        products = await self._prices.priced([one.product_id for one in unpriced])
        lines: list[Line] = []
        missing: list[MissingProduct] = []
        currency = ""
        for one, product in zip(unpriced, products, strict=True):
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
