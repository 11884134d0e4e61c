"""A user with a cart, checkouts and orders, for the tests that nobody else can see or change them."""

from dataclasses import dataclass
from typing import Any

from tests.platforms import Platform, Shopper

KEYS = ("first", "second")


@dataclass(frozen=True)
class Owned:
    """What a user has, by name."""

    shopper: Shopper
    platform: Platform
    in_cart: int
    """The product in the cart."""
    checkouts: tuple[str, ...]
    orders: tuple[str, ...]

    def now(self) -> dict[str, Any]:
        """Give all of it as it is, with what was paid for it."""
        return {
            "cart": self.shopper.cart(),
            "orders": self.shopper.orders(),
            "checkouts": [self.shopper.checkout(one) for one in self.checkouts],
            "sold": sold(self.platform, self.shopper),
        }


def sold(platform: Platform, shopper: Shopper) -> list[dict[str, Any]]:
    """Give the bank's transactions of a user."""
    query = "SELECT key, state, amount_minor FROM transactions WHERE user_id = $1 ORDER BY key"
    return platform.sql(query, shopper.user_id, bank=True)


def furnish(platform: Platform, shopper: Shopper, eventually: Any) -> Owned:
    """Let a new user buy twice, and put something into the cart again."""
    checkouts = []
    for number, key in enumerate(KEYS, start=1):
        shopper.add(1, 1)
        answer = shopper.buy(key).json()
        assert answer["status"] == "COMPLETED", answer
        checkouts.append(answer["checkout_id"])
        eventually(lambda number=number: len(shopper.orders()) == number and not shopper.cart()["items"])
    shopper.add(3, 2)
    return Owned(shopper, platform, 3, tuple(checkouts), tuple(one["id"] for one in shopper.orders()))
