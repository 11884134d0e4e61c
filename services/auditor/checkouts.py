"""Holds the books of checkouts against each other, and their events against the topic."""

from collections.abc import Iterable, Mapping, Sequence

from services.auditor.audit import Audit
from services.auditor.books import Book, Cart, Event, Transaction
from services.auditor.comparisons import compare
from services.auditor.differences import Kind
from services.auditor.ports import Sent

OF_CHECKOUTS = frozenset({Kind.MONEY, Kind.ORDERS, Kind.RESERVATIONS, Kind.OUTBOX, Kind.CARTS})
"""The kinds whose subject is a checkout."""
IN_ONE_DATABASE = frozenset({Book.CHECKOUTS, Book.PAYMENTS, Book.RESERVATIONS, Book.ORDERS, Book.OUTBOX})


class Checkouts:
    """Compares what every book holds of some checkouts."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self.is_topic_unread = False
        """Whether the last look for events failed, which no probe puts right."""

    async def compare(self, ids: Sequence[str], *, in_topic: bool = False) -> None:
        """Compare the books of these checkouts; the topic too, where that is asked, since it costs most.

        CannotRead where the database cannot be read; without any other book the rest is compared.
        """
        audit, books = self._audit, self._audit.books
        rows = await books.shop.rows(ids)
        read = set(IN_ONE_DATABASE)
        transactions: Mapping[str, Transaction] = {}
        carts: Mapping[int, Cart] = {}
        missing = frozenset[str]()
        if books.bank is not None:
            with audit.reading():
                transactions = await books.bank.transactions(ids, audit.now)
                read.add(Book.BANK)
        users = list({one.user_id for one in rows.checkouts.values() if one.is_completed and one.source == "cart"})
        if books.carts is not None:
            with audit.reading():
                carts = await books.carts.carts(users) if users else {}
                read.add(Book.CARTS)
        events = (event for events in rows.events.values() for event in events)
        if in_topic and (found_missing := await self.missing(events)) is not None:
            missing = found_missing
            read.add(Book.TOPIC)
        if users:
            audit.was_read(*read & {Book.CARTS})
        audit.was_read(*(read - {Book.CARTS, Book.TOPIC}))
        compared = frozenset(read)
        dossiers = [rows.dossier(one, compared, (transactions, carts), missing) for one in ids]
        now = audit.now
        found = [difference for dossier in dossiers for difference in compare(dossier, now)]
        asked = frozenset(ids)
        audit.look(found, lambda one: one.subject in asked and one.kind in OF_CHECKOUTS and one.books <= compared)
        audit.report.compared(OF_CHECKOUTS, len(ids))

    async def missing(self, events: Iterable[Event]) -> frozenset[str] | None:
        """Return the ids of those events that the topic should have, and does not; None where it cannot be read."""
        topic = self._audit.books.topic
        sent = [Sent(one.event_id, one.sent_at) for one in events if one.sent_at is not None]
        if topic is None or not sent:
            return frozenset() if topic else None
        missing = None
        self.is_topic_unread = True
        with self._audit.reading():
            missing = await topic.missing(sent)
            self.is_topic_unread = False
            self._audit.was_read(Book.TOPIC)
        return missing
