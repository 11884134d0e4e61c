"""Looks at the books that are not of one checkout: stock, the cached copies of carts, and the Checkout resources."""

from services.auditor.audit import Audit
from services.auditor.books import Book, Cart
from services.auditor.comparisons import compare_stock
from services.auditor.differences import Difference, Kind
from services.auditor.pace import Pace
from services.auditor.shown import compare_cached, compare_resources

MOST_CACHED = 200
"""How many cached carts are compared at once."""


class StockLook:
    """Compares the stock of every product with itself."""

    def __init__(self, audit: Audit, share: float) -> None:
        self._audit = audit
        self._pace = Pace(share, 0.0)
        self._first: dict[int, int] = {}
        """By product: what was received without deliveries, when it was first read."""

    @property
    def is_due(self) -> bool:
        """Whether the stock should be looked at now."""
        return self._pace.is_due(self._audit.clock()) or bool(self._audit.differences.unsure_in(Book.STOCK))

    async def look(self) -> None:
        """Compare the stock; CannotRead where it cannot be read."""
        audit, began = self._audit, self._audit.clock()
        try:
            stock = await audit.books.shop.stock()
        finally:
            self._pace.ended(began, audit.clock())
        audit.was_read(Book.STOCK)
        now, found = audit.now, list[Difference]()
        for one in stock:
            found += compare_stock(one, self._first.setdefault(one.product_id, one.received - one.delivered), now)
        audit.look(found, lambda one: one.kind is Kind.STOCK)
        audit.report.compared([Kind.STOCK], len(stock))


class CopiesLook:
    """Compares the cached copies of carts with their documents."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def look(self) -> bool:
        """Compare the next copies; return whether they were the last ones. CannotRead where a book cannot be read."""
        audit = self._audit
        cache, carts = audit.books.cache, audit.books.carts
        if cache is None or carts is None:
            return True
        again = [int(subject.removeprefix("user ")) for subject in audit.differences.subjects(Kind.CACHE)]
        some, is_last = await cache.some(MOST_CACHED)
        copies = {one.cart.user_id: one for one in [*some, *await cache.of(again)]}
        audit.was_read(Book.CACHE)
        documents = await carts.carts(list(copies)) if copies else {}
        now, found = audit.now, list[Difference]()
        for user_id, copy in copies.items():
            found += compare_cached(copy, documents.get(user_id, Cart(user_id, 0)), now)
        asked = {f"user {user_id}" for user_id in (*copies, *again)}
        audit.look(found, lambda one: one.kind is Kind.CACHE and one.subject in asked)
        audit.report.compared([Kind.CACHE], len(copies))
        return is_last

    async def look_at_all(self) -> None:
        """Compare every copy; CannotRead where a book cannot be read."""
        while not await self.look():
            pass


class ResourcesLook:
    """Compares the Checkout resources with the checkouts that they show."""

    def __init__(self, audit: Audit, share: float) -> None:
        self._audit = audit
        self._pace = Pace(share, 0.0)

    @property
    def is_due(self) -> bool:
        """Whether the resources should be looked at now."""
        return self._pace.is_due(self._audit.clock()) or bool(self._audit.differences.unsure_in(Book.RESOURCES))

    async def look(self) -> None:
        """Compare the resources; CannotRead where they or their checkouts cannot be read."""
        audit, shop = self._audit, self._audit.books.shop
        if audit.books.resources is None:
            return
        began, found, count = audit.clock(), list[Difference](), 0
        try:
            async for page in audit.books.resources.pages():
                started = await shop.started([(one.user_id, one.key) for one in page if not one.is_mirror])
                named = {one for resource in page for one in (resource.checkout_id, resource.mirror_of) if one}
                checkouts = await shop.checkouts(sorted(named))
                found += compare_resources(page, started, checkouts, audit.now)
                count += len(page)
        finally:
            self._pace.ended(began, audit.clock())
        audit.was_read(Book.RESOURCES)
        audit.look(found, lambda one: one.kind is Kind.RESOURCES)
        audit.report.compared([Kind.RESOURCES], count)
