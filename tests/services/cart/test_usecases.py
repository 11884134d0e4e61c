"""Changes of carts whose replies get lost."""

from datetime import UTC, datetime

import pytest

from services.cart.domain import Cart, add
from services.cart.usecases import CartBook, Listed
from services.errors import OutcomeUnknown, Unavailable


class LateCarts:
    """A store whose first write after the seed loses its reply, and lands only when the second one comes."""

    def __init__(self) -> None:
        self.cart = add(1, 1)(Cart(1))
        self.late: Cart | None = None
        self.writes = 0

    async def get(self, user_id):
        return self.cart

    async def replace(self, before, after):
        self.writes += 1
        if self.writes == 1:
            self.late = after
            raise OutcomeUnknown("lost")
        if self.late is not None:
            self.cart, self.late = self.late, None
        if self.cart.version != before.version:
            return False
        self.cart = after
        return True


class NoCache:
    """A cache that takes everything and keeps nothing."""

    async def begin_write(self, user_id):
        return "token"

    async def end_write(self, user_id, token):
        return True


class Listing:
    """A catalogue that can be away."""

    away = False

    async def products(self):
        if self.away:
            raise Unavailable("away")
        return {1: Listed("Laptop", 100)}


def book(carts, listing):
    """Wire a book of carts."""
    return CartBook(carts, NoCache(), listing, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_write_that_lands_late_counts_once():
    """A write whose reply is lost and that lands during the retry is applied once."""
    carts = LateCarts()
    shown = await book(carts, Listing()).add(1, 1, 1)
    assert shown.cart.lines[0].quantity == carts.cart.lines[0].quantity == 2


async def test_without_the_catalogue_nothing_is_changed():
    """A change that cannot be shown because the catalogue is away is not made either."""
    carts, listing = LateCarts(), Listing()
    listing.away = True
    for change in (book(carts, listing).remove(1, 1), book(carts, listing).set_quantity(1, 1, 5)):
        with pytest.raises(Unavailable):
            await change
    assert carts.writes == 0
