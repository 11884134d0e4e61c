"""Claims of what nobody sells, and items that no checkout can be made of."""

from datetime import UTC, datetime

import pytest

from services.checkout.claims import CartContent, Claimer, Unpriced
from services.checkout.domain import BadItems, Reason, Resource, ResourceRequest, Status
from services.checkout.driver import Driver
from services.errors import NotFound


class NoSuchProducts:
    """Fits the ports Carts and Prices: a cart of products that nobody sells."""

    async def content(self, user_id, bought):
        return CartContent(1, (Unpriced("l1", 404, 1, "Typewriter"),))

    async def priced(self, product_ids):
        return [NotFound("product not found") for _ in product_ids]


@pytest.mark.real
@pytest.mark.parametrize(
    ("items", "ids"),
    [
        (((404, 1), (7, 2)), "product 404, product 7"),
        ((), "product 404"),
        (tuple((n, 1) for n in range(1, 101)), ", ".join(f"product {n}" for n in range(1, 16)) + " and 85 more"),
    ],
)
async def test_what_nobody_sells_fails_with_the_ids(real_sessions, user, items, ids):
    """A resource with products that are not in the catalogue fails as UnknownProduct, and keeps their ids to show."""
    sessions = real_sessions
    session = await sessions.accept(ResourceRequest(user, "uid-1", items, Resource("uid-1", "default", "first")))
    claimer = Claimer(sessions, NoSuchProducts(), NoSuchProducts())
    driver = Driver(sessions, claimer, None, None, clock=lambda: datetime.now(UTC), observe=lambda _: None)
    ended = await driver.advance(session)
    assert (ended.status, ended.reason, ended.last_error) == (Status.FAILED, Reason.UNKNOWN_PRODUCT, ids)


@pytest.mark.parametrize(
    "items", [((0, 1),), ((1, 0),), ((1, 100),), ((1, 1), (1, 2)), tuple((n, 1) for n in range(1, 102))]
)
def test_items_that_cannot_be_bought(items):
    """What no checkout can be made of is refused."""
    with pytest.raises(BadItems):
        ResourceRequest(1, "k", items)
