"""What a difference between two books is, and which of them count. Pure.

Reads of several stores are not one read: what one store shows may be older than what another does, and every purchase under
way is in some books and not yet in others. So a difference counts only where it was found by two looks, one after the other,
and is older than its bound by the clock of the database. What is merely under way agrees within the bound.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.auditor.books import Book

MOST = 10_000
"""How many differences are remembered. Where there are more the platform needs a person, who needs no longer list."""


class Kind(StrEnum):
    """What a difference is about."""

    MONEY = "money"
    ORDERS = "orders"
    RESERVATIONS = "reservations"
    STOCK = "stock"
    CARTS = "carts"
    CACHE = "cache"
    OUTBOX = "outbox"
    RESOURCES = "resources"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two books that do not agree. `what` is a sentence without variable parts; `detail` has the values of both books."""

    kind: Kind
    subject: str
    """What it is about: a checkout's id, `product 3`, `user 7`, or the name of a resource."""
    what: str
    since: datetime
    """From when on the books should have agreed, by the database's clock."""
    books: frozenset[Book]
    detail: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    """What a person looks for: `checkout_id`, `user_id`, `order_id`, `event_id`, `product_id`, `name`."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same difference at the next look."""
        return self.kind, self.subject, self.what


@dataclass(slots=True)
class _Sighting:
    found: Difference
    looks: int = 1
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many differences of a kind count, and how old the oldest of them is, in seconds."""

    count: int = 0
    oldest_seconds: float = 0.0


class Differences:
    """The differences that were found and have not gone since."""

    def __init__(self, after: float, bounds: Mapping[Kind, float]) -> None:
        """Take the bound in seconds of kinds that have none of their own in `bounds`."""
        self._after = after
        self._bounds = bounds
        self._known: dict[tuple[str, str, str], _Sighting] = {}

    def look(self, found: Iterable[Difference], covers: Callable[[Difference], bool]) -> list[Difference]:
        """Note what one look found, and forget what it covers and did not find. Returns those of the latter that counted."""
        seen: set[tuple[str, str, str]] = set()
        for one in found:
            seen.add(one.key)
            known = self._known.pop(one.key, None)
            if known is not None:
                self._known[one.key] = known  # at the end: what was looked at longest ago comes first
                known.looks += 1
                # When it was first seen stays, where the stores themselves do not say since when.
                known.found = one if one.since <= known.found.since else _since(one, known.found.since)
            elif len(self._known) < MOST:
                self._known[one.key] = _Sighting(one)
        gone = [key for key, known in self._known.items() if key not in seen and covers(known.found)]
        ended = [self._known.pop(key) for key in gone]
        return [one.found for one in ended if one.is_told]

    def newly_counting(self, now: datetime) -> list[Difference]:
        """Return those that count from now on, once each."""
        fresh = [known for known in self._known.values() if not known.is_told and self._counts(known, now)]
        for known in fresh:
            known.is_told = True
        return [known.found for known in fresh]

    def counting(self, now: datetime) -> list[Difference]:
        """Return those that count, the oldest first."""
        found = [known.found for known in self._known.values() if self._counts(known, now)]
        return sorted(found, key=lambda one: one.since)

    def verdicts(self, now: datetime) -> dict[Kind, Verdict]:
        """Return the verdict of each kind."""
        of: dict[Kind, list[Difference]] = {kind: [] for kind in Kind}
        for one in self.counting(now):
            of[one.kind].append(one)
        return {
            kind: Verdict(len(those), max((now - those[0].since).total_seconds(), 0.0)) if those else Verdict()
            for kind, those in of.items()
        }

    def subjects(self, *kinds: Kind) -> Sequence[str]:
        """Return what the differences of these kinds are about, each once, first what was looked at longest ago."""
        return self._subjects(known for known in self._known.values() if known.found.kind in kinds)

    def subjects_in(self, book: Book) -> Sequence[str]:
        """Return the same of the differences between this book and another."""
        return self._subjects(known for known in self._known.values() if book in known.found.books)

    def unsure_in(self, book: Book) -> Sequence[str]:
        """Return the same of those differences of a book that were found by one look alone."""
        return self._subjects(one for one in self._known.values() if book in one.found.books and one.looks == 1)

    @property
    def is_unsure(self) -> bool:
        """Whether something was found by one look alone, so that the next one should come soon."""
        return any(known.looks == 1 for known in self._known.values())

    @staticmethod
    def _subjects(those: Iterable[_Sighting]) -> Sequence[str]:
        return list(dict.fromkeys(one.found.subject for one in those))

    def _counts(self, known: _Sighting, now: datetime) -> bool:
        bound = self._bounds.get(known.found.kind, self._after)
        return known.looks > 1 and (now - known.found.since).total_seconds() >= bound


def _since(one: Difference, since: datetime) -> Difference:
    return Difference(one.kind, one.subject, one.what, since, one.books, one.detail, one.ids)
