"""What may go wrong with reading a book, in one type: the auditor goes on with the other books and says which one it missed."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.auditor.books import Book
from services.chassis.failures import reason


class CannotRead(Exception):
    """A store did not answer, or refused; `str()` says why. Nothing is known to differ."""

    def __init__(self, book: Book, why: str) -> None:
        super().__init__(f"{book}: {why}")
        self.book = book
        self.why = why


@contextmanager
def reading(book: Book, *errors: type[Exception]) -> Iterator[None]:
    """Turn these errors of a store's client into CannotRead."""
    try:
        yield
    except errors as error:
        raise CannotRead(book, reason(error)) from error
