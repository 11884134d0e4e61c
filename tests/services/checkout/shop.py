"""A cart and prices around the use case, and sagas that end as a test says."""

import asyncio

from services.checkout.claims import CartContent, Claimer, Priced, Unpriced
from services.checkout.domain import Step
from services.checkout.usecases import Checkouts
from services.errors import NotFound, OutcomeUnknown

WAIT = 4.0

SHORT = 1.0  # seconds; what a shopper waits for a saga that a test holds back


class MemoryCart:
    """Fits the port Carts: one document, and rivals who act exactly before or after it is read."""

    def __init__(self):
        self.version, self.lines, self.reads = 0, {}, 0
        self.users = set()  # whose cart was asked for
        self.names = {404: "Typewriter"}
        self.before, self.after = [], []

    def add(self, line_id, product_id=1, quantity=1):
        self.lines[line_id] = (product_id, quantity, frozenset())
        self.version += 1

    def remove(self, purchase):
        for line_id, quantity in purchase.lines:
            product_id, there, bought = self.lines.get(line_id, (0, 0, {purchase.checkout_id}))
            if purchase.checkout_id not in bought:
                self.version += 1
                self.lines[line_id] = (product_id, there - quantity, bought | {purchase.checkout_id})
                if there <= quantity:
                    del self.lines[line_id]

    async def content(self, user_id, bought):
        self.reads += 1
        self.users.add(user_id)
        if self.before:
            await self.before.pop(0)()
        for purchase in bought:
            self.remove(purchase)
        lines = tuple(
            Unpriced(line_id, product_id, quantity, self.names.get(product_id))
            for line_id, (product_id, quantity, _) in self.lines.items()
        )
        content = CartContent(self.version, lines)
        if self.after:
            await self.after.pop(0)()
        return content


class MemoryPrices:
    """Fits the port Prices: everything but the products from 404 on costs 100."""

    async def priced(self, product_ids):
        return [
            NotFound("product not found") if product_id >= 404 else Priced(product_id, "Thing", 100, "USD")
            for product_id in product_ids
        ]


class Saga:
    """Drives as it is told: to `ends[key]` or to completion, once `goes` is set; `fault` stops it."""

    def __init__(self, sessions, bring):
        self.sessions, self.bring = sessions, bring
        self.ends, self.driven, self.fault = {}, [], None
        self.goes = asyncio.Event()
        self.goes.set()
        self.begun = asyncio.Event()

    async def advance(self, session):
        self.driven.append(session.id)
        self.begun.set()
        await self.goes.wait()
        if self.fault:
            raise self.fault
        return await self.bring(self.sessions, session, self.ends.get(session.key, Step.COMPLETED))


class LostReply:
    """A store whose replies to claims are lost, after they were made or before."""

    def __init__(self, sessions, *, made):
        self._sessions, self._made = sessions, made

    def __getattr__(self, name):
        return getattr(self._sessions, name)

    async def claim(self, claim):
        if self._made:
            await self._sessions.claim(claim)
        raise OutcomeUnknown("the connection to the database was lost")


def make_checkouts(sessions, cart, advance, *, notify=print):
    """Wire the use case."""
    return Checkouts(sessions, Claimer(sessions, cart, MemoryPrices()), advance, notify=notify)
