"""What the auditor asks of the stores: a port for each book. Every method raises CannotRead where its store cannot be read."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.auditor.books import (
    Book,
    CachedCart,
    Cart,
    Checkout,
    Dossier,
    Event,
    Order,
    Payment,
    Reservation,
    Resource,
    Started,
    Stock,
    Transaction,
)

_FIRST_UUID = str(uuid.UUID(int=0))
FIRST = {Book.CHECKOUTS: _FIRST_UUID, Book.OUTBOX: "0"}
"""What stands before the first id of a book; an empty text where it is not named here."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the changes of checkouts have been read."""

    at: datetime
    checkout_id: str = _FIRST_UUID


@dataclass(frozen=True, slots=True)
class Rows:
    """What the books of the database hold of some checkouts, by checkout id."""

    checkouts: dict[str, Checkout]
    payments: dict[str, Payment]
    reservations: dict[str, Reservation]
    orders: dict[str, Order]
    events: dict[str, list[Event]]

    def dossier(
        self,
        checkout_id: str,
        read: frozenset[Book],
        elsewhere: tuple[Mapping[str, Transaction], Mapping[int, Cart]],
        missing: frozenset[str],
    ) -> Dossier:
        """Put together what every book holds of a checkout; `elsewhere` are the bank's and the carts' books."""
        checkout = self.checkouts.get(checkout_id)
        return Dossier(
            checkout_id,
            read,
            checkout,
            self.payments.get(checkout_id),
            elsewhere[0].get(checkout_id),
            self.reservations.get(checkout_id),
            self.orders.get(checkout_id),
            tuple(self.events.get(checkout_id, ())),
            elsewhere[1].get(checkout.user_id) if checkout else None,
            missing,
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that is marked as published."""

    event_id: str
    sent_at: datetime


class ShopBooks(Protocol):
    """The books of the database `ecommerce`."""

    async def now(self) -> datetime:
        """Return the time of the database."""

    async def changed(self, mark: Mark, until: datetime, most: int) -> tuple[list[str], Mark]:
        """Return the ids of checkouts that changed after the mark and until then, and the next mark."""

    async def page(self, book: Book, after: str, most: int) -> list[str]:
        """Return checkout ids of a book that come after this one."""

    async def announced(self, after: int, most: int) -> list[tuple[int, Event]]:
        """Return events of the outbox with their numbers, which grow with the time, and come after this one."""

    async def without_checkout(self, ids: Sequence[str]) -> list[str]:
        """Return those ids of which there is no checkout."""

    async def checkouts(self, ids: Sequence[str]) -> dict[str, Checkout]:
        """Return the checkouts that exist, by id."""

    async def started(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], Started]:
        """Return the checkouts that resources started, by user and key."""

    async def rows(self, ids: Sequence[str]) -> Rows:
        """Return what the books hold of these checkouts, at one moment."""

    async def stock(self) -> list[Stock]:
        """Return the stock of every product."""


class BankBook(Protocol):
    """The ledger of the bank."""

    async def transactions(self, keys: Sequence[str], now: datetime) -> dict[str, Transaction]:
        """Return the transactions that exist, by key, with times of the clock that says `now`."""

    async def page(self, after: str, most: int) -> list[str]:
        """Return keys that come after this one."""


class CartBook(Protocol):
    """The documents of carts."""

    async def carts(self, user_ids: Sequence[int]) -> dict[int, Cart]:
        """Return the carts that exist, by user."""


class CacheBook(Protocol):
    """The cached copies of carts."""

    async def some(self, most: int) -> tuple[list[CachedCart], bool]:
        """Return the next cached carts, and whether all have been returned with them; then it begins anew."""

    async def of(self, user_ids: Sequence[int]) -> list[CachedCart]:
        """Return the cached carts of these users."""


class TopicBook(Protocol):
    """The topic of events."""

    async def missing(self, sent: Sequence[Sent]) -> frozenset[str]:
        """Return the ids of those events that the topic should have, and does not."""

    async def probe(self) -> None:
        """Find out whether it can be read, by a record where it has one."""


class ResourceBook(Protocol):
    """The Checkout resources."""

    def pages(self) -> AsyncIterator[list[Resource]]:
        """Yield the resources."""


@dataclass(frozen=True, slots=True)
class Books:
    """The stores. None: nothing says where it is, so that its book is not compared."""

    shop: ShopBooks
    bank: BankBook | None = None
    carts: CartBook | None = None
    cache: CacheBook | None = None
    topic: TopicBook | None = None
    resources: ResourceBook | None = None
