"""Users and products whose ids need all of their 64 bits."""

import secrets

import pytest

from tests.platforms import Shopper

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("user_id", [2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1])
def test_a_user_of_any_id_goes_through_the_whole_flow(platform, user_id, eventually) -> None:
    """A user with a large id adds, reads the cart from the store and from the cache, buys, and has the order."""
    shopper, key = Shopper(platform.urls["CARTWRIGHT_URL"], user_id), secrets.token_hex(8)
    assert shopper.ask("DELETE", "/api/v1/cart").status_code == 200
    assert shopper.add(1, 2)["user_id"] == user_id
    for _ in range(3):  # the first read fills the cache, the others come from it
        cart = shopper.cart()
        assert (cart["user_id"], [line["product_id"] for line in cart["items"]]) == (user_id, [1])
    assert shopper.ask("PUT", "/api/v1/cart/items/1", {"quantity": 3}).status_code == 200
    assert shopper.cart()["items"][0]["quantity"] == 3
    bought = shopper.buy(key)
    assert (bought.status_code, bought.json()["status"]) == (200, "COMPLETED"), bought.text
    assert shopper.buy(key).content == bought.content
    assert shopper.checkout(bought.json()["checkout_id"])["items"][0]["quantity"] == 3
    eventually(lambda: shopper.cart()["items"] == [])
    order = eventually(lambda: [one for one in shopper.orders() if one["checkout_id"] == bought.json()["checkout_id"]])[
        0
    ]
    assert (order["user_id"], order["items"][0]["quantity"]) == (user_id, 3)
    assert shopper.ask("GET", f"/api/v1/orders/{order['id']}").json() == order


@pytest.mark.parametrize("product_id", [2**31, 2**53 + 1, 2**63 - 1])
def test_a_product_of_any_id_is_looked_up(shopper, product_id) -> None:
    """A large product id that nobody sells is an unknown product on every route, not a failure."""
    added = shopper.ask("POST", "/api/v1/cart/items", {"product_id": product_id, "quantity": 1})
    shown = shopper.ask("GET", f"/api/v1/products/{product_id}")
    for answer in (added, shown):
        assert (answer.status_code, answer.json()) == (404, {"error": "product not found", "code": "product_not_found"})
    removed = shopper.ask("DELETE", f"/api/v1/cart/items/{product_id}")
    assert (removed.status_code, removed.json()) == (
        404,
        {"error": "item not found in cart", "code": "cart_item_not_found"},
    )


@pytest.mark.parametrize("user_id", [0, -1, 2**63, 2**64, 10**40])
def test_what_needs_more_than_64_bits_is_no_user(platform, user_id) -> None:
    """A number that is no positive 64-bit integer is refused as a user id."""
    answer = Shopper(platform.urls["CARTWRIGHT_URL"], user_id).ask("GET", "/api/v1/cart")
    assert (answer.status_code, answer.json()["error"]) == (400, "X-User-Id must be a positive 64-bit integer")
