"""How much a cart line holds, and what becomes of one whose product leaves the catalogue."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.e2e

REQUESTS, CLIENTS = 1000, 10


def test_the_load_line_of_the_flow_is_never_refused(platform, shopper) -> None:
    """A thousand requests of ten clients that add the same item all pass, and their quantities add up.

    It is the flow's `ab -n 1000 -c 10 -p add-item.json -T application/json …/api/v1/cart/items`.
    """
    with ThreadPoolExecutor(CLIENTS) as pool:
        carts = list(pool.map(lambda _: shopper.add(2, 1), range(REQUESTS)))
    assert len(carts) == REQUESTS
    assert [line["quantity"] for line in shopper.cart()["items"]] == [REQUESTS]


def test_the_largest_line_is_bought(platform, shopper, eventually) -> None:
    """A line grows to 9,999 and no further, and a line of 9,999 is sold, ordered and taken out of the cart whole."""
    for _ in range(101):
        cart = shopper.add(4, 99)
    assert (cart["items"][0]["quantity"], cart["total_price"]) == (9999, 3999500.01)
    more = shopper.ask("POST", "/api/v1/cart/items", {"product_id": 4, "quantity": 1})
    assert (more.status_code, more.json()) == (400, {"error": "a line holds at most 9999", "code": "cart_line_full"})
    stock = platform.sql("SELECT available, sold FROM inventory.stock WHERE product_id = 4")[0]
    bought = shopper.buy("all").json()
    assert bought["status"] == "COMPLETED"
    after = platform.sql("SELECT available, sold FROM inventory.stock WHERE product_id = 4")[0]
    assert (stock["available"] - after["available"], after["sold"] - stock["sold"]) == (9999, 9999)
    order = eventually(lambda: shopper.ask("GET", f"/api/v1/orders/{bought['order_id']}").json()["items"][0])
    assert order == {"product_id": 4, "product_name": "Monitor", "quantity": 9999, "price": 399.99}
    eventually(lambda: shopper.cart()["items"] == [])


def test_the_order_of_a_checkout_is_known_at_once(shopper, eventually) -> None:
    """The answer of a completed checkout has the id of its order, as the checkout has, and its replay the same bytes."""
    shopper.add(1, 1)
    bought = shopper.buy("k")
    order_id = bought.json()["order_id"]
    assert shopper.checkout(bought.json()["checkout_id"])["order_id"] == order_id
    eventually(lambda: shopper.ask("GET", f"/api/v1/orders/{order_id}").status_code == 200)
    assert shopper.buy("k").content == bought.content


@pytest.fixture
def typewriter(platform):
    """A product of the test's own, with stock, and what takes it out of the catalogue."""
    product_id = 10**6 + secrets.randbelow(10**9)
    platform.sql(
        "INSERT INTO product.products (id, name, description, price_minor, currency, image_url)"
        " VALUES ($1, 'Typewriter', '', 5000, 'USD', '')",
        product_id,
    )
    platform.sql("INSERT INTO inventory.stock (product_id, received, available) VALUES ($1, 100, 100)", product_id)

    def retire():
        platform.sql("DELETE FROM product.products WHERE id = $1", product_id)

    yield product_id, retire
    retire()


def test_a_product_that_left_the_catalogue_is_never_shown_as_free(
    kube, shopper, eventually, typewriter, bought
) -> None:
    """Its line keeps its name, counts nothing and cannot be bought, by REST or as a resource, until it is removed."""
    product_id, retire = typewriter
    add = {"product_id": product_id, "quantity": 2}
    eventually(lambda: shopper.ask("POST", "/api/v1/cart/items", add).status_code == 200)
    shopper.add(2, 1)
    retire()
    cart = eventually(lambda: (now := shopper.cart())["items"][0].get("available") is False and now)
    assert (cart["items"][0]["product_name"], cart["total_items"], cart["total_price"]) == ("Typewriter", 1, 29.99)
    assert "available" not in cart["items"][1]

    put = shopper.ask("PUT", f"/api/v1/cart/items/{product_id}", {"quantity": 1})
    assert (put.status_code, put.json()) == (404, {"error": "product not found", "code": "product_not_found"})
    refused = shopper.buy("k")
    assert refused.status_code == 409
    assert refused.json()["products"] == [{"product_id": product_id, "product_name": "Typewriter"}]
    assert f"Typewriter (product {product_id})" in refused.json()["error"]
    for spec in ({}, {"items": [{"productId": product_id, "quantity": 1}]}):
        name = kube.apply(userId=shopper.user_id, **spec)
        assert eventually(lambda name=name: kube.finished(name))["phase"] == "Failed"
        assert kube.reason(name) == "UnknownProduct"
        assert str(product_id) in kube.condition(name, "Succeeded")["message"]
    assert bought(shopper) == 0

    left = shopper.ask("DELETE", f"/api/v1/cart/items/{product_id}")
    assert (left.status_code, left.json()["total_items"]) == (200, 1)
    assert shopper.buy("k").json()["status"] == "COMPLETED"  # the key of the refusal
    assert bought(shopper) == 1
