"""Parts that hang, die or are stopped: nothing is bought twice, nothing is lost, and what works goes on working."""

import time

import grpc
import pytest

from services.pb import inventory_pb2, inventory_pb2_grpc
from tests.e2e.outages import away, with_settings

pytestmark = pytest.mark.e2e


def test_a_bank_that_hangs_once(platform, shopper, eventually) -> None:
    """While the bank is silent the answer is 202 with where to look; once it speaks the checkout ends, charged once."""
    shopper.add(1, 1)
    platform.bank("hang", shopper.user_id, times=3)
    answer = shopper.buy("hangs")
    assert (answer.status_code, answer.json()["status"]) == (202, "PROCESSING")
    assert answer.headers["Location"] == f"/api/v1/checkout/{answer.json()['checkout_id']}"
    eventually(lambda: shopper.checkout(answer.json()["checkout_id"])["status"] == "COMPLETED", 60)
    captured = "SELECT count(*) AS n FROM transactions WHERE user_id = $1 AND state = 'CAPTURED'"
    assert platform.sql(captured, shopper.user_id, bank=True)[0]["n"] == 1
    assert shopper.buy("hangs").json()["status"] == "COMPLETED"


def test_a_bank_that_hangs_past_the_timeout(platform, shopper, eventually) -> None:
    """A checkout whose time is up while the bank is silent is cancelled: TimedOut, nothing charged, the stock back."""
    shopper.add(3, 2)
    platform.bank("hang", shopper.user_id)
    stock = platform.sql("SELECT available FROM inventory.stock WHERE product_id = 3")
    answer = shopper.buy("times out")
    assert answer.status_code == 202
    platform.sql(
        "UPDATE checkout.checkout_sessions SET cancel_after = now() WHERE id = $1", answer.json()["checkout_id"]
    )
    ended = eventually(lambda: (it := shopper.checkout(answer.json()["checkout_id"]))["status"] == "FAILED" and it, 60)
    assert (ended["reason"], ended["step"]) == ("TimedOut", "pay")
    assert platform.sql("SELECT available FROM inventory.stock WHERE product_id = 3") == stock
    states = platform.sql("SELECT state FROM transactions WHERE key = $1", answer.json()["checkout_id"], bank=True)
    assert states == [{"state": "CANCELLED"}]


@pytest.mark.local
def test_a_short_checkout_timeout(platform, shopper, eventually) -> None:
    """With CHECKOUT_TIMEOUT=3s a checkout whose payment hangs ends as TimedOut by itself, with nothing charged."""
    shopper.add(3, 1)
    platform.bank("hang", shopper.user_id)
    with with_settings(platform, "checkout", CHECKOUT_TIMEOUT="3s"):
        answer = shopper.buy("soon")
        ended = eventually(
            lambda: (it := shopper.checkout(answer.json()["checkout_id"]))["status"] == "FAILED" and it, 60
        )
        assert ended["reason"] == "TimedOut"
        states = platform.sql("SELECT state FROM transactions WHERE key = $1", answer.json()["checkout_id"], bank=True)
        assert states == [{"state": "CANCELLED"}]


STOP_BEFORE_PAYING = """
CREATE FUNCTION checkout.stop_before_paying() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER stop_before_paying BEFORE UPDATE ON checkout.checkout_sessions
    FOR EACH ROW WHEN (NEW.step = 'PAYING') EXECUTE FUNCTION checkout.stop_before_paying()"""
NEVER_PINNED = """UPDATE inventory.reservation SET state = 'HELD', expires_at = clock_timestamp()
    WHERE checkout_id::text = $1 AND state = 'PINNED' RETURNING 1 AS one"""


@pytest.mark.local
def test_a_reservation_that_expires(platform, shopper, eventually) -> None:
    """Stock that was held and never pinned returns once its time is over; the saga fails, and a late confirm is refused."""
    shopper.add(4, 3)
    stock = "SELECT available, reserved FROM inventory.stock WHERE product_id = 4"
    before = platform.sql(stock)
    for statement in STOP_BEFORE_PAYING.split(";\n"):
        platform.sql(statement)
    try:
        answer = shopper.buy("stopped")
        assert answer.status_code == 202
        checkout_id = answer.json()["checkout_id"]
        assert platform.sql(
            NEVER_PINNED, checkout_id
        )  # as by a checkout of before, which reserved and pinned by two calls
        state = "SELECT state FROM inventory.reservation WHERE checkout_id::text = $1"
        eventually(lambda: platform.sql(state, checkout_id)[0]["state"] == "EXPIRED", 30)
        assert platform.sql(stock) == before
    finally:
        platform.sql("DROP FUNCTION checkout.stop_before_paying CASCADE")
    with grpc.insecure_channel(platform.urls["INVENTORY_ADDR"]) as channel:
        late = inventory_pb2.ReservationsRequest(items=[inventory_pb2.ReservationRef(checkout_id=checkout_id)])
        result = inventory_pb2_grpc.InventoryServiceStub(channel).Confirm(late, timeout=5).results[0]
    assert result.refusal.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    ended = eventually(lambda: (it := shopper.checkout(checkout_id))["status"] == "FAILED" and it, 60)
    assert ended["reason"] == "ReservationExpired"
    assert platform.sql(stock) == before
    assert not platform.sql("SELECT 1 FROM transactions WHERE key = $1", checkout_id, bank=True)


def test_a_reply_that_the_bank_drops(platform, shopper, eventually) -> None:
    """A charge whose reply is lost completes, and is charged once."""
    shopper.add(2, 1)
    platform.bank("drop", shopper.user_id, times=1)
    answer = shopper.buy("dropped")
    eventually(lambda: shopper.checkout(answer.json()["checkout_id"])["status"] == "COMPLETED", 60)
    rows = platform.sql("SELECT state, requests FROM transactions WHERE user_id = $1", shopper.user_id, bank=True)
    assert [row["state"] for row in rows] == ["CAPTURED"]
    assert rows[0]["requests"] > 1


def test_orders_stopped(platform, shopper, eventually) -> None:
    """Without the orders service its own routes answer 503, checkouts complete, and the order is there afterwards."""
    with away(platform, "orders", "orders-consumer"):
        for _ in range(25):
            answer = shopper.ask("GET", "/api/v1/orders")
            assert answer.status_code == 503
        opened = 'cartwright_breaker_opened_total{dependency="orders"}'
        assert platform.metric("gateway", opened) > 0
        assert platform.metric("gateway", 'cartwright_retries_total{dependency="orders"}') > 0
        assert int(answer.headers["Retry-After"]) > 0
        shopper.add(2, 1)
        assert shopper.buy("no orders").json()["status"] == "COMPLETED"
    assert len(eventually(shopper.orders, 30)) == 1
    assert platform.metric("gateway", 'cartwright_breaker_open{dependency="orders"}') == 0


def test_kafka_stopped(platform, eventually) -> None:
    """Through 30 s without Kafka checkouts complete; the carts and the orders follow when it is back."""
    with away(platform, "kafka"):
        ends_at = time.monotonic() + 30
        buyers = []
        while time.monotonic() < ends_at:
            buyers.append(platform.shopper())
            buyers[-1].add(2, 2)
            assert buyers[-1].buy("no kafka").json()["status"] == "COMPLETED"
    for shopper in (buyers[0], buyers[-1]):
        assert len(eventually(shopper.orders, 60)) == 1
        eventually(lambda one=shopper: one.cart()["items"] == [], 60)
    told = "SELECT count(*) AS n FROM orders.orders WHERE user_id = ANY($1)"
    eventually(lambda: platform.sql(told, [one.user_id for one in buyers])[0]["n"] == len(buyers), 60)


def test_redis_stopped(platform, shopper) -> None:
    """Without Redis carts are read from MongoDB, and each read shows the last write."""
    shopper.add(1, 1)
    with away(platform, "redis"):
        for quantity in range(2, 12):
            assert shopper.ask("PUT", "/api/v1/cart/items/1", {"quantity": quantity}).status_code == 200
            assert shopper.cart()["items"][0]["quantity"] == quantity
        assert shopper.buy("no redis").json()["status"] == "COMPLETED"


def test_inventory_stopped_before_the_claim_is_a_delay(platform, shopper, eventually) -> None:
    """Without inventory a checkout stays PROCESSING, never FAILED for it, and completes when it is back."""
    shopper.add(2, 1)
    with away(platform, "inventory"):
        answer = shopper.buy("no stock service")
        assert answer.status_code == 202
        assert platform.metric("checkout", "cartwright_retries_total") > 0
    eventually(lambda: shopper.checkout(answer.json()["checkout_id"])["status"] == "COMPLETED", 60)
