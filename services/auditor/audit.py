"""What every look of the auditor shares: the books, the time by the database's clock, and the differences that were found."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from services.auditor.books import Book
from services.auditor.differences import Difference, Differences
from services.auditor.ports import Books
from services.auditor.reading import CannotRead
from services.auditor.reporting import Report

Clock = Callable[[], float]


class Audit:
    """The state of one auditor."""

    def __init__(self, books: Books, report: Report, differences: Differences, clock: Clock) -> None:
        """Take a clock in seconds that only goes forward."""
        self.books = books
        self.report = report
        self.differences = differences
        self.clock = clock
        self._read_at: dict[Book, float] = {}
        self._told: tuple[datetime, float] | None = None
        """The database's clock, and our own when it was asked."""

    @property
    def now(self) -> datetime:
        """The time by the database's clock, as it was last asked and has gone on since."""
        if self._told is None:
            return datetime.now(UTC)
        return self._told[0] + timedelta(seconds=self.clock() - self._told[1])

    async def ask_clock(self) -> None:
        """Ask the database for its time."""
        self._told = (await self.books.shop.now(), self.clock())

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Go on where a book cannot be read, and say so."""
        try:
            yield
        except CannotRead as error:
            self.report.missed(error)

    def was_read(self, *books: Book) -> None:
        """Note that these books could be read."""
        for book in books:
            self._read_at[book] = self.clock()
            self.report.read(book, time.time())

    def is_read_within(self, book: Book, seconds: float) -> bool:
        """Whether a book was read less than so many seconds ago."""
        return book in self._read_at and self.clock() - self._read_at[book] < seconds

    def look(self, found: Iterable[Difference], covers: Callable[[Difference], bool]) -> None:
        """Note what a look found; what it covers and did not find is over."""
        self.report.agree(self.differences.look(found, covers))
