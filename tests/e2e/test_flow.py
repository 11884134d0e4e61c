"""The test flow, by its numbers."""

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

EMPTY = {"cart_id": "", "items": [], "total_items": 0, "total_price": 0, "updated_at": "0001-01-01T00:00:00Z"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def test_the_flow_by_its_numbers(platform, shopper, eventually) -> None:
    """Every case of the flow, 1.1 to 8.1 but for 7.3, answers as it says."""
    ask = shopper.ask
    assert (ask("GET", "/health").status_code, ask("GET", "/health").json()) == (200, {"status": "ok"})  # 1.1

    products = ask("GET", "/api/v1/products").json()["products"]  # 2.1
    assert [product["name"] for product in products] == ["Laptop", "Mouse", "Keyboard", "Monitor", "Headphones"]
    assert products[0]["price"] == 1299.99

    assert shopper.cart() == EMPTY | {"user_id": shopper.user_id}  # 3.1
    first = shopper.add(1, 2)  # 3.2
    assert re.fullmatch("[0-9a-f]{24}", first["cart_id"])
    laptop = {"product_id": 1, "product_name": "Laptop", "quantity": 2, "price": 1299.99, "subtotal": 2599.98}
    assert (first["items"], first["total_items"], first["total_price"]) == ([laptop], 1, 2599.98)
    second = shopper.add(2, 1)  # 3.3
    assert (second["cart_id"], second["total_items"], second["total_price"]) == (first["cart_id"], 2, 2629.97)
    third = ask("PUT", "/api/v1/cart/items/2", {"quantity": 3}).json()  # 3.4
    assert (third["items"][1]["subtotal"], third["total_price"]) == (89.97, 2689.95)
    assert shopper.cart() == third  # 3.5
    assert ask("DELETE", "/api/v1/cart/items/2").json()["total_price"] == 2599.98  # 3.6

    unknown = ask("POST", "/api/v1/cart/items", {"product_id": 999, "quantity": 1})  # 4.1
    assert (unknown.status_code, unknown.json()) == (404, {"error": "product not found", "code": "product_not_found"})
    zero = ask("POST", "/api/v1/cart/items", {"product_id": 1, "quantity": 0})  # 4.2
    assert (zero.status_code, zero.json()["code"]) == (400, "quantity_invalid")
    absent = ask("PUT", "/api/v1/cart/items/999", {"quantity": 5})  # 4.3
    assert (absent.status_code, absent.json()) == (
        404,
        {"error": "item not found in cart", "code": "cart_item_not_found"},
    )

    before = platform.sql("SELECT available, sold FROM inventory.stock WHERE product_id = 1")[0]
    bought = shopper.buy("test-checkout-001")  # 5.1
    assert bought.status_code == 200
    assert UUID.fullmatch(bought.json()["checkout_id"])
    assert bought.json()["status"] == "COMPLETED"
    after = platform.sql("SELECT available, sold FROM inventory.stock WHERE product_id = 1")[0]
    assert (before["available"] - after["available"], after["sold"] - before["sold"]) == (2, 2)
    row = platform.sql(
        "SELECT id, user_id, status, total_amount, created_at FROM checkout_sessions WHERE id = $1",
        bought.json()["checkout_id"],
    )
    assert (row[0]["status"], row[0]["total_amount"]) == ("COMPLETED", 259998)
    assert platform.sql(
        "SELECT event_type, processed_at FROM outbox_events WHERE aggregate_id = $1", bought.json()["checkout_id"]
    )
    eventually(lambda: shopper.cart() == EMPTY | {"user_id": shopper.user_id})  # 5.2

    again = shopper.buy("test-checkout-001")  # 6.1
    assert (again.content, again.headers["Idempotent-Replayed"]) == (bought.content, "true")
    assert len(platform.sql("SELECT 1 FROM transactions WHERE user_id = $1", shopper.user_id, bank=True)) == 1

    empty = shopper.buy("test-checkout-empty-001")  # 7.1
    assert (empty.status_code, empty.json()) == (400, {"error": "cart is empty", "code": "cart_empty"})
    shopper.add(3, 1)
    missing = ask("POST", "/api/v1/checkout", {})  # 7.2
    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_required")
    assert ask("DELETE", "/api/v1/cart").json() == EMPTY | {"user_id": shopper.user_id}  # 8.1

    order = eventually(
        lambda: [order for order in shopper.orders() if order["checkout_id"] == bought.json()["checkout_id"]]
    )
    assert (order[0]["total_amount"], order[0]["status"]) == (2599.98, "CONFIRMED")
    assert order[0]["items"] == [{"product_id": 1, "product_name": "Laptop", "quantity": 2, "price": 1299.99}]


def test_a_declined_payment_gives_everything_back(platform, shopper) -> None:
    """7.3: a declined payment returns the stock, ends the checkout as FAILED, and leaves the cart."""
    shopper.add(4, 3)
    platform.bank("decline", shopper.user_id)
    stock = platform.sql("SELECT * FROM inventory.stock WHERE product_id = 4")
    failed = shopper.buy("fails")
    assert (failed.status_code, failed.json()["status"], failed.json()["reason"]) == (200, "FAILED", "PaymentDeclined")
    assert platform.sql("SELECT * FROM inventory.stock WHERE product_id = 4") == stock
    assert shopper.cart()["items"][0]["quantity"] == 3
    assert shopper.buy("fails").content == failed.content
    shown = shopper.checkout(failed.json()["checkout_id"])
    assert (shown["step"], [step["name"] for step in shown["steps"]]) == ("pay", ["claim", "reserve", "pay", "release"])


def test_the_readme_is_not_out_of_date() -> None:
    """Every make target that the README names exists."""
    root = Path(__file__).resolve().parents[2]
    targets = subprocess.run(["make", "-s", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in set(re.findall(r"`make ([a-z-]+)", (root / "README.md").read_text())):
        assert f"make {name} " in targets
