"""What the auditor says: metrics, a log line for each difference that has come to count, and which books it does not compare."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.auditor.books import Book
from services.auditor.differences import Difference, Differences, Kind
from services.auditor.reading import CannotRead
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics

MOST_LINES = 20
"""How many differences are logged at once. Where there are more, one line says how many."""


class Report:
    """Tells of the differences of one process."""

    def __init__(self, log: Logger, metrics: Metrics, *, command: str) -> None:
        """Take the command that shows a checkout's story, with `{checkout_id}` in it; empty where there is none."""
        self._log = log
        self._command = command
        self._count = metrics.gauge("cartwright_audit_differences", "Differences between books that count.", ("kind",))
        self._oldest = metrics.gauge(
            "cartwright_audit_oldest_difference_seconds", "Age of the oldest difference that counts.", ("kind",)
        )
        self._found = metrics.counter("cartwright_audit_found_total", "Differences that have come to count.", ("kind",))
        self._compared = metrics.counter(
            "cartwright_audit_compared_total",
            "Checkouts, products, carts and resources whose books were compared.",
            ("kind",),
        )
        self._books = metrics.gauge(
            "cartwright_audit_book_compared",
            "1 while a book is compared; 0: no store is named, or it cannot be read.",
            ("book",),
        )
        self._read_at = metrics.gauge(
            "cartwright_audit_read_timestamp_seconds",
            "When a book was last read, of those whose store is named.",
            ("book",),
        )
        self._full_at = metrics.gauge(
            "cartwright_audit_full_pass_timestamp_seconds", "When the last pass over whole books ended; 0: none has."
        )
        self.comparisons = dict.fromkeys(Kind, 0)
        """How many comparisons of each kind were made."""
        self.unread: dict[Book, str] = {}
        """The books that cannot be read, and why."""
        for kind in Kind:  # so that a first difference is seen as an increase
            self._found.labels(kind)
            self._compared.labels(kind)
        for book in Book:
            self._books.labels(book).set(0)

    def named(self, book: Book, at: float) -> None:
        """Note that the store of a book is named, at a Unix time."""
        self._read_at.labels(book).set(at)

    def unnamed(self, book: Book, variable: str) -> None:
        """Say that a book is not compared, since nothing says where it is."""
        self._log.warning("a book is not compared", book=book, reason=f"{variable} names none")

    def read(self, book: Book, at: float) -> None:
        """Note that a book was read, at a Unix time."""
        self._books.labels(book).set(1)
        self._read_at.labels(book).set(at)
        if self.unread.pop(book, None) is not None:
            self._log.info("a book is read again", book=book)

    def missed(self, error: CannotRead) -> None:
        """Note that a book could not be read; said once, until it can or the reason changes."""
        self._books.labels(error.book).set(0)
        if self.unread.get(error.book) != error.why:
            self._log.warning("a book cannot be read", book=error.book, error=error.why)
        self.unread[error.book] = error.why

    def compared(self, kinds: Iterable[Kind], count: int) -> None:
        """Count comparisons."""
        for kind in kinds:
            self.comparisons[kind] += count
            self._compared.labels(kind).inc(count)

    def ended_full_pass(self, at: float) -> None:
        """Note that every row of every book was compared, at a Unix time."""
        self._full_at.set(at)

    def publish(self, differences: Differences, now: datetime) -> None:
        """Set the metrics, and log what has come to count."""
        for kind, verdict in differences.verdicts(now).items():
            self._count.labels(kind).set(verdict.count)
            self._oldest.labels(kind).set(verdict.oldest_seconds)
        fresh = differences.newly_counting(now)
        for one in fresh:
            self._found.labels(one.kind).inc()
        for one in fresh[:MOST_LINES]:
            self.differs(one, now)
        if len(fresh) > MOST_LINES:
            self._log.error("more books differ", count=len(fresh) - MOST_LINES)

    def differs(self, one: Difference, now: datetime) -> None:
        """Log a difference."""
        facts: dict[str, object] = dict(one.ids)
        if self._command and "checkout_id" in one.ids:
            facts["command"] = self._command.format(checkout_id=one.ids["checkout_id"])
        age = round((now - one.since).total_seconds(), 1)
        self._log.error(
            "the books differ",
            kind=one.kind,
            what=one.what,
            since=one.since.isoformat(),
            age=age,
            detail=one.detail,
            **facts,
        )

    def agree(self, ended: Sequence[Difference]) -> None:
        """Log differences that counted and are gone."""
        for one in ended[:MOST_LINES]:
            self._log.info("the books agree again", kind=one.kind, what=one.what, **one.ids)
