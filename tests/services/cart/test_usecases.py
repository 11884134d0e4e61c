"""Changes of carts whose replies get lost, and caches and catalogues that are away."""

from datetime import UTC, datetime

import grpc
import pytest

from services.cart.changes import CartWriter, Token
from services.cart.clients import ProductClient
from services.cart.domain import BadPurchase, BadQuantity, Cart, Purchase, add
from services.cart.usecases import CartService, ListedProduct, adding, removing, setting
from services.errors import InternalError, OutcomeUnknown, Unavailable
from services.pb import product_pb2 as pb
from tests.services.cart.carts import given


class LateCarts:
    """A store whose first write after the seed loses its reply, and lands only when the second one comes."""

    def __init__(self) -> None:
        self.cart = add(1, 1)(Cart(1))
        self.late: Cart | None = None
        self.writes = 0
        self.silent = False

    async def read(self, user_ids):
        if self.silent and self.writes:
            return [Unavailable("away")]
        return [self.cart]

    async def replace(self, changes):
        [(before, after)] = changes
        self.writes += 1
        if self.writes == 1:
            self.late = after
            return [OutcomeUnknown("lost")]
        if self.late is not None:
            self.cart, self.late = self.late, None
        if self.cart.version != before.version:
            return [False]
        self.cart = after
        return [True]


class CountingCache:
    """A cache that takes note of who writes."""

    def __init__(self) -> None:
        self.writing: list[int] = []
        self.refusing = False

    async def begin_writes(self, user_ids):
        if self.refusing:
            return [Unavailable("open") for _ in user_ids]
        self.writing += user_ids
        return [Token(str(user_id)) for user_id in user_ids]

    async def end_writes(self, writes):
        for user_id, token in writes:
            assert token == Token(str(user_id))
            self.writing.remove(user_id)


class Listing:
    """A catalogue that can be away."""

    away = False

    async def products(self):
        if self.away:
            raise Unavailable("away")
        return {1: ListedProduct("Laptop", 100)}


@pytest.fixture
def late():
    """Give the store."""
    return LateCarts()


@pytest.fixture
def seen():
    """Give the cache."""
    return CountingCache()


@pytest.fixture
def listing():
    """Give the catalogue."""
    return Listing()


@pytest.fixture
def service(late, seen, listing):
    """Wire the service of carts."""
    writer = CartWriter(late, seen, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    return CartService(late, seen, listing, writer)


@pytest.fixture
def edit(service):
    """Apply one edit of user 1, and give the view or raise the error."""

    async def edit(change):
        return given(*await service.edit([(1, change)]))

    return edit


async def test_a_write_that_lands_late_counts_once(edit, late, seen):
    """A write whose reply is lost and that lands during the retry is applied once."""
    shown = await edit(adding(1, 1))
    assert shown.cart.lines[0].quantity == late.cart.lines[0].quantity == 2
    assert not seen.writing


async def test_without_the_catalogue_nothing_is_changed(edit, late, listing):
    """A change that cannot be shown because the catalogue is away is not made either."""
    listing.away = True
    for change in (edit(removing(1)), edit(setting(1, 5))):
        with pytest.raises(Unavailable):
            await change
    assert late.writes == 0


def test_a_bad_quantity_needs_no_catalogue():
    """A request that can never succeed is refused as such, also while the catalogue is away."""
    for change in (adding, setting):
        with pytest.raises(BadQuantity):
            change(1, 100)


async def test_a_write_that_cannot_be_announced(edit, late, seen):
    """A write that readers may not see is not made."""
    seen.refusing = True
    with pytest.raises(Unavailable):
        await edit(adding(1, 1))
    assert late.writes == 0


async def test_an_unknown_write_keeps_readers_off(edit, late, seen):
    """A write that may still land is told as unknown, and leaves its token to run out."""
    late.silent = True
    with pytest.raises(OutcomeUnknown):
        await edit(adding(1, 1))
    assert seen.writing == [1]


async def test_a_refused_change_lets_readers_in(edit, late, seen, monkeypatch):
    """A change that turns out to be impossible, because another came first, ends its write."""

    async def cleared(changes):
        late.cart = Cart(1, version=late.cart.version + 1)
        return [False]

    monkeypatch.setattr(late, "replace", cleared)
    with pytest.raises(Exception, match="not found in cart"):
        await edit(removing(1))
    assert not seen.writing


def test_a_purchase_never_adds():
    """A purchase of a negative quantity is refused."""
    with pytest.raises(BadPurchase):
        Purchase("c1", (("line", -1),))


@pytest.mark.parametrize("error", [InternalError(), ZeroDivisionError()])
async def test_a_write_that_fails_unexpectedly_keeps_readers_off(edit, late, seen, monkeypatch, error):
    """Nobody knows whether such a write is there, so its token is left to run out, and readers go to the document."""

    async def fail(changes):
        return [error]

    monkeypatch.setattr(late, "replace", fail)
    with pytest.raises(type(error)):
        await edit(adding(1, 1))
    assert seen.writing == [1]


async def test_a_catalogue_that_fails_unexpectedly_is_not_hammered(monkeypatch):
    """While the product service fails, the last list is shown, and it is asked once a second, not by every reader."""
    asked = []

    class End:
        channel = grpc.aio.insecure_channel("127.0.0.1:1")

        async def send(self, method, request, *, within):
            asked.append(method)
            if len(asked) > 1:
                raise InternalError
            return pb.ListProductsResponse(products=[pb.Product(id=2**31, name="Laptop", price_minor=100)])

    client = ProductClient(End())
    first = await client.products()
    client._asked_at = float("-inf")  # a second later
    for _ in range(5):
        assert await client.products() == first
    assert len(asked) == 2
    await End.channel.close()
