"""What the tests of the auditor on a platform share."""

import pytest


@pytest.fixture(name="bought")
def bought_fixture(shopper, platform, eventually):
    """Buy something, and give the checkout's id once its order is there and the cart is empty."""
    shopper.add(2, 3)
    checkout_id = shopper.buy("audited").json()["checkout_id"]
    eventually(lambda: shopper.orders() and not shopper.cart()["items"])
    return checkout_id
