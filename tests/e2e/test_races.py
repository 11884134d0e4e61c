"""Requests that race, and reads that follow writes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.outages import away

pytestmark = pytest.mark.e2e


def test_one_key_thirty_two_times(platform, shopper, eventually) -> None:
    """Thirty-two concurrent requests with one key make one checkout, one charge and one order, and get equal bodies."""
    shopper.add(1, 1)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: shopper.buy("same"), range(32)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(platform.sql("SELECT 1 FROM checkout_sessions WHERE user_id = $1", shopper.user_id)) == 1
    assert len(platform.sql("SELECT 1 FROM transactions WHERE user_id = $1", shopper.user_id, bank=True)) == 1
    assert len(eventually(shopper.orders)) == 1


def test_sixteen_keys_on_one_cart(platform, shopper, eventually) -> None:
    """Sixteen keys on one cart buy it once; the others are told why not."""
    shopper.add(2, 1)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: shopper.buy(f"key-{number}"), range(16)))
    bought = [answer for answer in answers if answer.status_code == 200]
    assert len(bought) == 1
    assert {answer.status_code for answer in answers} <= {200, 400, 409}
    for answer in answers:
        assert answer.status_code != 409 or answer.json()["checkout_id"] == bought[0].json()["checkout_id"]
    captured = "SELECT sum(amount_minor) AS sum FROM transactions WHERE user_id = $1 AND state = 'CAPTURED'"
    assert platform.sql(captured, shopper.user_id, bank=True)[0]["sum"] == 2999
    eventually(lambda: shopper.cart()["items"] == [])


def test_a_line_added_right_after_the_answer_survives(shopper, eventually) -> None:
    """What is put into the cart after the answer is there after the clearing, whether or not it is the same product."""
    shopper.add(1, 2)
    assert shopper.buy("one").json()["status"] == "COMPLETED"
    shopper.add(1, 1)
    shopper.add(5, 4)
    eventually(lambda: {(line["product_id"], line["quantity"]) for line in shopper.cart()["items"]} == {(1, 1), (5, 4)})


@pytest.mark.local
def test_a_second_key_before_the_clearing_buys_nothing_twice(platform, shopper, eventually) -> None:
    """While the removal is still on its way, another key finds nothing to buy, or only what was added since."""
    with away(platform, "cart-consumer"):
        shopper.add(1, 1)
        assert shopper.buy("one").json()["status"] == "COMPLETED"
        assert shopper.buy("two").json() == {"error": "cart is empty", "code": "cart_empty"}
        shopper.add(2, 3)
        third = shopper.buy("three").json()
        assert shopper.checkout(third["checkout_id"])["items"] == [
            {"product_id": 2, "product_name": "Mouse", "quantity": 3, "price": 29.99}
        ]
    eventually(lambda: shopper.cart()["items"] == [])
    assert sorted(
        order["total_amount"] for order in eventually(lambda: len(shopper.orders()) == 2 and shopper.orders())
    ) == [89.97, 1299.99]


def test_two_hundred_writes_each_read_at_once(shopper) -> None:
    """A read that follows an acknowledged write shows it, two hundred times without a pause."""
    shopper.add(1, 1)
    for number in range(200):
        quantity = number % 99 + 1
        shopper.ask("PUT", "/api/v1/cart/items/1", {"quantity": quantity})
        assert shopper.cart()["items"][0]["quantity"] == quantity


def test_the_cache_serves_most_reads(platform) -> None:
    """At ten reads a write over twenty users more than four in five reads are hits."""

    def counted(outcome: str) -> float:
        return platform.metric("cart", f'cartwright_cart_cache_total{{outcome="{outcome}"}}')

    before = {outcome: counted(outcome) for outcome in ("hit", "miss", "bypass", "fill")}

    def shop(_: int) -> None:
        shopper = platform.shopper()
        for _ in range(5):
            shopper.add(1, 1, patiently=True)
            for _ in range(10):
                shopper.cart()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(shop, range(20)))
    done = {outcome: counted(outcome) - before[outcome] for outcome in before}
    assert done["fill"] > 0
    assert done["hit"] / (done["hit"] + done["miss"] + done["bypass"]) > 0.8


def test_the_last_piece_is_sold_once(platform) -> None:
    """Of many buyers of the last piece one gets it; the others are told that it is out of stock."""
    platform.sql("UPDATE inventory.stock SET received = reserved + sold + 1, available = 1 WHERE product_id = 5")
    try:
        shoppers = [platform.shopper() for _ in range(12)]
        for shopper in shoppers:
            shopper.add(5, 1)
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda shopper: shopper.buy("last").json(), shoppers))
        assert sorted(answer["status"] for answer in answers) == ["COMPLETED"] + ["FAILED"] * 11
        assert {answer.get("reason") for answer in answers} == {None, "OutOfStock"}
    finally:
        platform.sql(
            "UPDATE inventory.stock SET received = received + 1000000, available = available + 1000000 WHERE product_id = 5"
        )
