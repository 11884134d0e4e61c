"""Reads the books and compares them, for as long as the platform runs. It only reads, and never in the way of a purchase.

What has changed is compared once it is `after` seconds old: by then every book of a purchase must have it, whoever was restarted
meanwhile. What is looked at again is what differed at the last look. Beside that it goes through whole books by their primary
keys, a page at a time and within a share of the time, so that a row that nothing announces is found too: on a small platform
within a minute, on a large one within hours (`cartwright_audit_full_pass_timestamp_seconds`).

Memory is bounded by a page of each book, and by the differences that are remembered.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.auditor.books import Book, Cart, Event, Transaction
from services.auditor.comparisons import compare, compare_stock
from services.auditor.differences import Difference, Differences, Kind
from services.auditor.pace import Pace
from services.auditor.ports import FIRST, Books, Mark, Sent
from services.auditor.reading import CannotRead
from services.auditor.reporting import Report
from services.auditor.shown import compare_cached, compare_resources

OF_CHECKOUTS = frozenset({Kind.MONEY, Kind.ORDERS, Kind.RESERVATIONS, Kind.OUTBOX, Kind.CARTS})
"""The kinds whose subject is a checkout."""
IN_ONE_DATABASE = frozenset({Book.CHECKOUTS, Book.PAYMENTS, Book.RESERVATIONS, Book.ORDERS, Book.OUTBOX})
BOUNDS = {Kind.STOCK: 1.0, Kind.CACHE: 4.0}
"""Seconds. Stock is read in one snapshot, so that nothing is under way in it. A value of the cache is trusted for 10 s."""
MOST_AGAIN = 1000
"""How many checkouts that differed are looked at again in a round."""
MOST_AGAIN_IN_TOPIC = 10
"""The same of those that differed from the topic: each of them may take the records of hours."""
TURN_SECONDS = 1.0
"""How long a turn of the pass over whole books may take."""
PROBE_SECONDS = 60.0
"""How old the last read of a book may become where nothing asks for it."""
MOST_CACHED = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """How the auditor works; times in seconds. `share`: of the time, for what is long."""

    after: float
    full_every: float
    share: float
    page: int


class Auditor:
    """The auditor of one platform."""

    def __init__(
        self, books: Books, settings: Settings, report: Report, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._books = books
        self._settings = settings
        self._report = report
        self._clock = clock
        self.differences = Differences(settings.after, BOUNDS)
        self._mark: Mark | None = None
        self._first: dict[int, int] = {}
        """By product: what was received without deliveries, when it was first read."""
        self._walk = _walk(books)
        self._place = 0
        self._last = ""
        self._full = Pace(settings.share, settings.full_every)
        self._stock = Pace(settings.share, 0.0)
        self._listing = Pace(settings.share, 0.0)
        self._lost = Pace(settings.share, 0.0)
        self._is_topic_unread = False
        """Whether the last look for events failed, which no probe puts right."""
        self._read_at: dict[Book, float] = {}
        self._told: tuple[datetime, float] | None = None
        """The database's clock, and our own when it was asked."""

    @property
    def now(self) -> datetime:
        """The time by the database's clock, as it was last asked and has gone on since."""
        if self._told is None:
            return datetime.now(UTC)
        return self._told[0] + timedelta(seconds=self._clock() - self._told[1])

    async def run_once(self) -> int:
        """Make a round. Returns 1 where something was found by one look alone, so that the next round should come soon."""
        with self._reading():
            await self._ask_clock()
            await self._again()
            await self._again_in_topic(MOST_AGAIN_IN_TOPIC)
            await self._recent()
            await self._go_on()
        with self._reading():
            if self._stock.is_due(self._clock()) or self.differences.unsure_in(Book.STOCK):
                await self._look_at_stock()
        with self._reading():
            if self._listing.is_due(self._clock()) or self.differences.unsure_in(Book.RESOURCES):
                await self._look_at_resources()
        await self._probe()
        self._report.publish(self.differences, self.now)
        return int(self.differences.is_unsure)

    async def look_at_cache(self) -> int:
        """Compare some cached carts with their documents. Returns 0."""
        with self._reading():
            await self._look_at_copies()
            self._report.publish(self.differences, self.now)
        return 0

    async def run_whole(self, pause: float = max(BOUNDS.values())) -> None:
        """Compare every book once, and after so many seconds look again at what differed."""
        with self._reading():
            await self._ask_clock()
            while not await self._step():
                pass
        for is_first in (True, False):
            for look in (self._look_at_stock, self._look_at_resources, self._look_at_all_copies):
                with self._reading():
                    await look()
            await self._probe(0.0)
            if is_first and self.differences.is_unsure:
                await asyncio.sleep(pause)
                with self._reading():
                    await self._ask_clock()
                    await self._again()
                    await self._again_in_topic(MOST_AGAIN)
            else:
                return

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Go on where a book cannot be read, and say so."""
        try:
            yield
        except CannotRead as error:
            self._report.missed(error)

    async def _ask_clock(self) -> None:
        self._told = (await self._books.shop.now(), self._clock())

    def _was_read(self, *books: Book) -> None:
        for book in books:
            self._read_at[book] = self._clock()
            self._report.read(book, time.time())

    async def _again(self) -> None:
        """Look again at checkouts that differed, first at those that were looked at longest ago."""
        ids = self.differences.subjects(*OF_CHECKOUTS)[:MOST_AGAIN]
        for at in range(0, len(ids), self._settings.page):
            await self._examine(ids[at : at + self._settings.page])

    async def _again_in_topic(self, most: int) -> None:
        """Look again for events that the topic did not have: at once after one look, and later as often as their share allows."""
        began = self._clock()
        ids = self.differences.unsure_in(Book.TOPIC)
        if not ids and self._lost.is_due(began):
            ids = self.differences.subjects_in(Book.TOPIC)
        if not ids:
            return
        try:
            for at in range(0, min(most, len(ids)), self._settings.page):
                await self._examine(ids[at : min(most, at + self._settings.page)], in_topic=True)
        finally:
            self._lost.ended(began, self._clock())

    async def _recent(self) -> None:
        """Compare what has changed and is old enough by now."""
        until = self.now - timedelta(seconds=self._settings.after)
        mark = self._mark or Mark(until)
        while True:
            ids, following = await self._books.shop.changed(mark, until, self._settings.page)
            if ids:
                await self._examine(ids, in_topic=True)
            self._mark = mark = following
            if len(ids) < self._settings.page:
                self._was_read(Book.CHECKOUTS)
                return

    async def _go_on(self) -> None:
        """Go on with the pass over whole books, where its turn has come."""
        began = self._clock()
        if not self._full.is_due(began):
            return
        whole = False
        try:
            while not whole and self._clock() - began < TURN_SECONDS:
                whole = await self._step()
        finally:
            self._full.ended(began, self._clock(), whole=whole)

    async def _step(self) -> bool:
        """Compare the next page of the pass over whole books; return whether it was the last one."""
        book = self._walk[self._place]
        after, most = self._last or FIRST.get(book, ""), self._settings.page
        self._last = await (
            self._through_outbox(after, most) if book is Book.OUTBOX else self._through(book, after, most)
        )
        if self._last:
            return False
        self._place = (self._place + 1) % len(self._walk)
        if self._place == 0:
            self._report.ended_full_pass(time.time())
        return self._place == 0

    async def _through(self, book: Book, after: str, most: int) -> str:
        """Compare a page of a book; return its last id, empty where it is the last page."""
        ids = list[str]()
        if book is Book.BANK and self._books.bank is not None:
            with self._reading():  # where it is away the pass goes on without it
                ids = await self._books.bank.page(after, most)
                self._was_read(book)
        else:
            ids = await self._books.shop.page(book, after, most)
            self._was_read(book)
        # A checkout is held against all books; of another book the rows are left that no checkout leads to.
        those = ids if book is Book.CHECKOUTS else await self._books.shop.without_checkout(ids)
        if those:
            await self._examine(those)
        return ids[-1] if len(ids) == most else ""

    async def _through_outbox(self, after: str, most: int) -> str:
        """Do the same with the outbox, in the order of its events, so that a page of it is a short time of the topic."""
        page = await self._books.shop.announced(int(after), most)
        self._was_read(Book.OUTBOX)
        events = [event for _, event in page]
        missing = await self._missing(events)
        ids = list(dict.fromkeys(one.checkout_id for one in events))
        those = set(await self._books.shop.without_checkout(ids))
        those.update(one.checkout_id for one in events if missing and one.event_id in missing)
        if those:
            await self._examine(sorted(those), in_topic=bool(missing))
        return str(page[-1][0]) if len(page) == most else ""

    async def _missing(self, events: Iterable[Event]) -> frozenset[str] | None:
        """Return the ids of those events that the topic should have, and does not; None where it cannot be read."""
        sent = [Sent(one.event_id, one.sent_at) for one in events if one.sent_at is not None]
        if self._books.topic is None or not sent:
            return frozenset() if self._books.topic else None
        missing = None
        self._is_topic_unread = True
        with self._reading():
            missing = await self._books.topic.missing(sent)
            self._is_topic_unread = False
            self._was_read(Book.TOPIC)
        return missing

    async def _examine(self, ids: Sequence[str], *, in_topic: bool = False) -> None:
        """Hold the books of these checkouts against each other; the topic too, where that is asked, since it costs most."""
        rows = await self._books.shop.rows(ids)
        read = set(IN_ONE_DATABASE)
        transactions: Mapping[str, Transaction] = {}
        carts: Mapping[int, Cart] = {}
        missing = frozenset[str]()
        if self._books.bank is not None:
            with self._reading():
                transactions = await self._books.bank.transactions(ids, self.now)
                read.add(Book.BANK)
        users = list({one.user_id for one in rows.checkouts.values() if one.is_completed and one.source == "cart"})
        if self._books.carts is not None:
            with self._reading():
                carts = await self._books.carts.carts(users) if users else {}
                read.add(Book.CARTS)
        events = (event for events in rows.events.values() for event in events)
        if in_topic and (found_missing := await self._missing(events)) is not None:
            missing = found_missing
            read.add(Book.TOPIC)
        if users:
            self._was_read(*read & {Book.CARTS})
        self._was_read(*(read - {Book.CARTS, Book.TOPIC}))
        books = frozenset(read)
        dossiers = [rows.dossier(one, books, (transactions, carts), missing) for one in ids]
        now = self.now
        found = [difference for dossier in dossiers for difference in compare(dossier, now)]
        examined = frozenset(ids)
        self._look(found, lambda one: one.subject in examined and one.kind in OF_CHECKOUTS and one.books <= books)
        self._report.compared(OF_CHECKOUTS, len(ids))

    def _look(self, found: Iterable[Difference], covers: Callable[[Difference], bool]) -> None:
        self._report.agree(self.differences.look(found, covers))

    async def _look_at_stock(self) -> None:
        began = self._clock()
        try:
            stock = await self._books.shop.stock()
        finally:
            self._stock.ended(began, self._clock())
        self._was_read(Book.STOCK)
        now, found = self.now, list[Difference]()
        for one in stock:
            found += compare_stock(one, self._first.setdefault(one.product_id, one.received - one.delivered), now)
        self._look(found, lambda one: one.kind is Kind.STOCK)
        self._report.compared([Kind.STOCK], len(stock))

    async def _look_at_all_copies(self) -> None:
        while not await self._look_at_copies():
            pass

    async def _look_at_copies(self) -> bool:
        """Compare the next cached carts; return whether they were the last ones."""
        cache, carts = self._books.cache, self._books.carts
        if cache is None or carts is None:
            return True
        again = [int(subject.removeprefix("user ")) for subject in self.differences.subjects(Kind.CACHE)]
        some, is_last = await cache.some(MOST_CACHED)
        copies = {one.cart.user_id: one for one in [*some, *await cache.of(again)]}
        self._was_read(Book.CACHE)
        documents = await carts.carts(list(copies)) if copies else {}
        now, found = self.now, list[Difference]()
        for user_id, copy in copies.items():
            found += compare_cached(copy, documents.get(user_id, Cart(user_id, 0)), now)
        asked = {f"user {user_id}" for user_id in (*copies, *again)}
        self._look(found, lambda one: one.kind is Kind.CACHE and one.subject in asked)
        self._report.compared([Kind.CACHE], len(copies))
        return is_last

    async def _look_at_resources(self) -> None:
        if self._books.resources is None:
            return
        began, found, count = self._clock(), list[Difference](), 0
        try:
            async for page in self._books.resources.pages():
                started = await self._books.shop.started([(one.user_id, one.key) for one in page if not one.is_mirror])
                named = {one for resource in page for one in (resource.checkout_id, resource.mirror_of) if one}
                checkouts = await self._books.shop.checkouts(sorted(named))
                found += compare_resources(page, started, checkouts, self.now)
                count += len(page)
        finally:
            self._listing.ended(began, self._clock())
        self._was_read(Book.RESOURCES)
        self._look(found, lambda one: one.kind is Kind.RESOURCES)
        self._report.compared([Kind.RESOURCES], count)

    async def _probe(self, older: float = PROBE_SECONDS) -> None:
        """Read what nothing has asked for lately, so that a store that cannot be read is known before it is needed."""
        books = self._books
        for book, store in ((Book.BANK, books.bank), (Book.CARTS, books.carts), (Book.TOPIC, books.topic)):
            if store is None or self._clock() - self._read_at.get(book, -older) < older:
                continue
            if book is Book.TOPIC and self._is_topic_unread:
                continue
            with self._reading():
                if book is Book.BANK and books.bank is not None:
                    await books.bank.page("", 1)
                elif book is Book.CARTS and books.carts is not None:
                    await books.carts.carts([0])
                elif books.topic is not None:
                    await books.topic.probe()
                self._was_read(book)


def _walk(books: Books) -> list[Book]:
    """Return the books that a whole pass goes through."""
    ours = [Book.CHECKOUTS, Book.PAYMENTS, Book.RESERVATIONS, Book.ORDERS, Book.OUTBOX]
    return [*ours, Book.BANK] if books.bank is not None else ours
