"""Reads the books and compares them, for as long as the platform runs. It only reads, and never in the way of a purchase.

What has changed is compared once it is `after` seconds old: by then every book of a purchase must have it, whoever was restarted
meanwhile. What is looked at again is what differed at the last look. Beside that it goes through whole books by their primary
keys, a page at a time and within a share of the time, so that a row that nothing announces is found too: on a small platform
within a minute, on a large one within hours (`cartwright_audit_full_pass_timestamp_seconds`).

Memory is bounded by a page of each book, and by the differences that are remembered.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.auditor.audit import Audit, Clock
from services.auditor.books import Book
from services.auditor.checkouts import OF_CHECKOUTS, Checkouts
from services.auditor.differences import Differences, Kind
from services.auditor.looks import CopiesLook, ResourcesLook, StockLook
from services.auditor.pace import Pace
from services.auditor.ports import FIRST, Books, Mark
from services.auditor.reporting import Report

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


@dataclass(frozen=True, slots=True)
class Settings:
    """How the auditor works; times in seconds. `share`: of the time, for what is long."""

    after: float
    full_every: float
    share: float
    page: int


class Auditor:
    """The auditor of one platform."""

    def __init__(self, books: Books, settings: Settings, report: Report, clock: Clock = time.monotonic) -> None:
        self.differences = Differences(settings.after, BOUNDS)
        self._audit = Audit(books, report, self.differences, clock)
        self._books = books
        self._settings = settings
        self._report = report
        self._clock = clock
        self._checkouts = Checkouts(self._audit)
        self._stock = StockLook(self._audit, settings.share)
        self._resources = ResourcesLook(self._audit, settings.share)
        self._copies = CopiesLook(self._audit)
        self._mark: Mark | None = None
        self._walk = _walk(books)
        self._place = 0
        self._last = ""
        self._full = Pace(settings.share, settings.full_every)
        self._lost = Pace(settings.share, 0.0)

    @property
    def now(self) -> datetime:
        """The time by the database's clock."""
        return self._audit.now

    async def run_once(self) -> int:
        """Make a round. Returns 1 where something was found by one look alone, so that the next round should come soon."""
        reading = self._audit.reading
        with reading():
            await self._audit.ask_clock()
            await self._again()
            await self._again_in_topic(MOST_AGAIN_IN_TOPIC)
            await self._recent()
            await self._go_on()
        for one in (self._stock, self._resources):
            with reading():
                if one.is_due:
                    await one.look()
        await self._probe()
        self._report.publish(self.differences, self.now)
        return int(self.differences.is_unsure)

    async def look_at_cache(self) -> int:
        """Compare some cached carts with their documents. Returns 0."""
        with self._audit.reading():
            await self._copies.look()
            self._report.publish(self.differences, self.now)
        return 0

    async def run_whole(self, pause: float = max(BOUNDS.values())) -> None:
        """Compare every book once, and after so many seconds look again at what differed."""
        reading = self._audit.reading
        with reading():
            await self._audit.ask_clock()
            while not await self._step():
                pass
        for is_first in (True, False):
            for look in (self._stock.look, self._resources.look, self._copies.look_at_all):
                with reading():
                    await look()
            await self._probe(0.0)
            if is_first and self.differences.is_unsure:
                await asyncio.sleep(pause)
                with reading():
                    await self._audit.ask_clock()
                    await self._again()
                    await self._again_in_topic(MOST_AGAIN)
            else:
                return

    async def _again(self) -> None:
        """Look again at checkouts that differed, first at those that were looked at longest ago."""
        ids = self.differences.subjects(*OF_CHECKOUTS)[:MOST_AGAIN]
        for at in range(0, len(ids), self._settings.page):
            await self._checkouts.compare(ids[at : at + self._settings.page])

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
                await self._checkouts.compare(ids[at : min(most, at + self._settings.page)], in_topic=True)
        finally:
            self._lost.ended(began, self._clock())

    async def _recent(self) -> None:
        """Compare what has changed and is old enough by now."""
        until = self.now - timedelta(seconds=self._settings.after)
        mark = self._mark or Mark(until)
        while True:
            ids, following = await self._books.shop.changed(mark, until, self._settings.page)
            if ids:
                await self._checkouts.compare(ids, in_topic=True)
            self._mark = mark = following
            if len(ids) < self._settings.page:
                self._audit.was_read(Book.CHECKOUTS)
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
            with self._audit.reading():  # where it is away the pass goes on without it
                ids = await self._books.bank.page(after, most)
                self._audit.was_read(book)
        else:
            ids = await self._books.shop.page(book, after, most)
            self._audit.was_read(book)
        # A checkout is held against all books; of another book the rows are left that no checkout leads to.
        those = ids if book is Book.CHECKOUTS else await self._books.shop.without_checkout(ids)
        if those:
            await self._checkouts.compare(those)
        return ids[-1] if len(ids) == most else ""

    async def _through_outbox(self, after: str, most: int) -> str:
        """Do the same with the outbox, in the order of its events, so that a page of it is a short time of the topic."""
        page = await self._books.shop.announced(int(after), most)
        self._audit.was_read(Book.OUTBOX)
        events = [event for _, event in page]
        missing = await self._checkouts.missing(events)
        ids = list(dict.fromkeys(one.checkout_id for one in events))
        those = set(await self._books.shop.without_checkout(ids))
        those.update(one.checkout_id for one in events if missing and one.event_id in missing)
        if those:
            await self._checkouts.compare(sorted(those), in_topic=bool(missing))
        return str(page[-1][0]) if len(page) == most else ""

    async def _probe(self, older: float = PROBE_SECONDS) -> None:
        """Read what nothing has asked for lately, so that a store that cannot be read is known before it is needed."""
        books = self._books
        for book, store in ((Book.BANK, books.bank), (Book.CARTS, books.carts), (Book.TOPIC, books.topic)):
            if store is None or self._audit.is_read_within(book, older):
                continue
            if book is Book.TOPIC and self._checkouts.is_topic_unread:
                continue
            with self._audit.reading():
                if book is Book.BANK and books.bank is not None:
                    await books.bank.page("", 1)
                elif book is Book.CARTS and books.carts is not None:
                    await books.carts.carts([0])
                elif books.topic is not None:
                    await books.topic.probe()
                self._audit.was_read(book)


def _walk(books: Books) -> list[Book]:
    """Return the books that a whole pass goes through."""
    ours = [Book.CHECKOUTS, Book.PAYMENTS, Book.RESERVATIONS, Book.ORDERS, Book.OUTBOX]
    return [*ours, Book.BANK] if books.bank is not None else ours
