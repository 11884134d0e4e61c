"""Changes of carts whose replies get lost, and caches and catalogues that are away."""

from datetime import UTC, datetime

import grpc
import pytest

from services.cart.clients import ProductClient
from services.cart.domain import BadPurchase, BadQuantity, Cart, Purchase, add
from services.cart.usecases import CartService, ListedProduct, each
from services.errors import InternalError, OutcomeUnknown, Unavailable
from services.pb import product_pb2 as pb


class LateCarts:
    """A store whose first write after the seed loses its reply, and lands only when the second one comes."""

    def __init__(self) -> None:
        self.cart = add(1, 1)(Cart(1))
        self.late: Cart | None = None
        self.writes = 0
        self.silent = False

    async def get(self, user_id):
        if self.silent and self.writes:
            raise Unavailable("away")
        return self.cart

    async def replace(self, before, after):
        self.writes += 1
        if self.writes == 1:
            self.late = after
            raise OutcomeUnknown("lost")
        if self.late is not None:
            self.cart, self.late = self.late, None
        if self.cart.version != before.version:
            return False
        self.cart = after
        return True


class CountingCache:
    """A cache that takes note of who writes."""

    def __init__(self) -> None:
        self.writing: list[str] = []
        self.refusing = False

    async def begin_write(self, user_id):
        if self.refusing:
            raise Unavailable("open")
        self.writing.append("token")
        return "token"

    async def end_write(self, user_id, token):
        self.writing.remove(token)


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
    return CartService(late, seen, listing, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_write_that_lands_late_counts_once(service, late, seen):
    """A write whose reply is lost and that lands during the retry is applied once."""
    shown = await service.add(1, 1, 1)
    assert shown.cart.lines[0].quantity == late.cart.lines[0].quantity == 2
    assert not seen.writing


async def test_without_the_catalogue_nothing_is_changed(service, late, listing):
    """A change that cannot be shown because the catalogue is away is not made either."""
    listing.away = True
    for change in (service.remove(1, 1), service.set_quantity(1, 1, 5)):
        with pytest.raises(Unavailable):
            await change
    assert late.writes == 0


async def test_a_bad_quantity_needs_no_catalogue(service, listing):
    """A request that can never succeed is refused as such, also while the catalogue is away."""
    listing.away = True
    for change in (service.add(1, 1, 100), service.set_quantity(1, 1, 100)):
        with pytest.raises(BadQuantity):
            await change


async def test_a_write_that_cannot_be_announced(service, late, seen):
    """A write that readers may not see is not made."""
    seen.refusing = True
    with pytest.raises(Unavailable):
        await service.add(1, 1, 1)
    assert late.writes == 0


async def test_an_unknown_write_keeps_readers_off(service, late, seen):
    """A write that may still land is told as unknown, and leaves its token to run out."""
    late.silent = True
    with pytest.raises(OutcomeUnknown):
        await service.add(1, 1, 1)
    assert seen.writing == ["token"]


async def test_a_refused_change_lets_readers_in(service, late, seen, monkeypatch):
    """A change that turns out to be impossible, because another came first, ends its write."""

    async def cleared(before, after):
        late.cart = Cart(1, version=before.version + 1)
        return False

    monkeypatch.setattr(late, "replace", cleared)
    with pytest.raises(Exception, match="not found in cart"):
        await service.remove(1, 1)
    assert not seen.writing


def test_a_purchase_never_adds():
    """A purchase of a negative quantity is refused."""
    with pytest.raises(BadPurchase):
        Purchase("c1", (("line", -1),))


@pytest.mark.parametrize("error", [InternalError(), ZeroDivisionError()])
async def test_a_write_that_fails_unexpectedly_keeps_readers_off(service, late, seen, monkeypatch, error):
    """Nobody knows whether such a write is there, so its token is left to run out, and readers go to the document."""

    async def fail(before, after):
        raise error

    monkeypatch.setattr(late, "replace", fail)
    with pytest.raises(type(error)):
        await service.add(1, 1, 1)
    assert seen.writing == ["token"]


async def test_one_users_unexpected_failure_is_their_own():
    """Of several carts asked for at once, the one that fails unexpectedly is an outcome beside the others."""

    async def cart(number):
        return 1 / number

    one, failed, three = await each([cart(1), cart(0), cart(4)])
    assert (one, type(failed), three) == (1.0, ZeroDivisionError, 0.25)


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
