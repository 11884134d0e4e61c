"""One trace: a purchase is followed from the shopper's request to the operator's last write, and through a driver's death."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from services.pb import inventory_pb2, inventory_pb2_grpc
from services.pb.call_pb2 import Call
from tests.collector import paths, paths_in
from tests.e2e.outages import away

pytestmark = [pytest.mark.e2e, pytest.mark.local]

CLIENT = "00000000000000aa"
ADDED = """\
gateway: POST /api/v1/cart/items
  gateway: cart.AddItems
    gateway: cartwright.cart.CartService/AddItems
      cart: cartwright.cart.CartService/AddItems
        cart: find carts
        cart: EVALSHA cart begin
        cart: bulkWrite carts
        cart: EVALSHA cart end
"""
BOUGHT = """\
gateway: POST /api/v1/checkout
  gateway: checkout.StartCheckouts
    gateway: cartwright.checkout.CheckoutService/StartCheckouts
      checkout: cartwright.checkout.CheckoutService/StartCheckouts
    checkout: checkout.start
      checkout: checkout.lookup
        checkout: SELECT checkout_sessions
      checkout: cart.GetCarts
        checkout: cartwright.cart.CartService/GetCarts
          cart: cartwright.cart.CartService/GetCarts
            cart: find carts
      checkout: product.GetProducts
        checkout: cartwright.product.ProductService/GetProducts
          product: cartwright.product.ProductService/GetProducts
            product: SELECT products
      checkout: checkout.claim
        checkout: SELECT claim_carts
        operator: create Checkout
        operator: status Checkout
      checkout: saga
        checkout: saga.reserve
          checkout: inventory.Reserve
            checkout: cartwright.inventory.InventoryService/Reserve
              inventory: cartwright.inventory.InventoryService/Reserve
                inventory: SELECT reserve
        checkout: saga.charge
          checkout: payment.Charge
            checkout: cartwright.payment.PaymentService/Charge
              payment: cartwright.payment.PaymentService/Charge
                payment: payment.intent
                  payment: INSERT payments, INSERT payment_events
                payment: cartwright.bank.Bank/Charge
                  bank: cartwright.bank.Bank/Charge
                    bank: bank.charge
                      bank: SELECT charge
                payment: payment.decide
                  payment: UPDATE payments, INSERT payment_events
        checkout: saga.confirm
          checkout: inventory.Confirm
            checkout: cartwright.inventory.InventoryService/Confirm
              inventory: cartwright.inventory.InventoryService/Confirm
                inventory: SELECT confirm
        checkout: checkout.move
          checkout: UPDATE checkout_sessions, INSERT outbox_events
          checkout-relay: send checkout-events
            orders-consumer: process checkout-events
              orders-consumer: orders.insert
                orders-consumer: INSERT orders
            cart-consumer: process checkout-events
              cart-consumer: cart.remove
                cart-consumer: find carts
                cart-consumer: EVALSHA cart begin
                cart-consumer: bulkWrite carts
                cart-consumer: EVALSHA cart end
"""
RESOLVED = """\
payment-resolver: payment.resolve
  payment-resolver: cartwright.bank.Bank/Charge
    bank: cartwright.bank.Bank/Charge
      bank: bank.charge
        bank: SELECT charge
  payment-resolver: payment.decide
    payment-resolver: UPDATE payments, INSERT payment_events
"""
NOT_ALWAYS = (
    "/ListProducts",
    ": EVAL cart",
    ": EVALSHA cart read",
    ": GET cart",
    "product.list",
    ": EVALSHA cart fill",
)
"""Parts of paths that depend on what is cached: the catalogue for a second, and Redis' scripts until it starts again."""


def new_trace(*, sampled: bool = True) -> tuple[str, dict[str, str]]:
    """Give a new trace id, and the header with which a client asks for it."""
    trace_id = secrets.token_hex(16)
    return trace_id, {"traceparent": f"00-{trace_id}-{CLIENT}-0{int(sampled)}"}


def buy(shopper, key, headers):
    """Check out under a key, in a trace."""
    return shopper.ask("POST", "/api/v1/checkout", {"idempotency_key": key}, headers=headers)


def named(spans, name):
    """Give the spans of a name."""
    return [one for one in spans if one.name == name]


def test_a_purchase_is_one_trace(platform, shopper, eventually) -> None:
    """One trace id leads from two requests through every service, statement, the outbox, Kafka, both consumers and the operator."""
    trace_id, headers = new_trace()
    platform.shopper().add()  # what is made once is there: connections, scripts
    added = shopper.ask("POST", "/api/v1/cart/items", {"product_id": 2, "quantity": 1}, headers=headers)
    answer = buy(shopper, "traced", headers | {"X-Request-Id": "a-purchase"})
    assert (added.status_code, answer.json()["status"]) == (200, "COMPLETED")
    wanted = paths_in(ADDED) | paths_in(BOUGHT)
    eventually(lambda: paths(platform.collector.trace(trace_id)).keys() >= wanted, 30)
    spans = platform.collector.trace(trace_id)
    more = {path for path in paths(spans) if path not in wanted and not any(part in path for part in NOT_ALWAYS)}
    assert not more
    assert not [one for one in spans if one.failed]
    roots = [one for one in spans if one.parent_id == CLIENT]
    assert [one.facts["http.response.status_code"] for one in roots] == [200, 200]
    assert {one.facts["user.id"] for one in roots} == {shopper.user_id}
    [saga] = named(spans, "saga")
    checkout_id = answer.json()["checkout_id"]
    assert saga.facts == {
        "cartwright.checkout_id": checkout_id,
        "cartwright.lease_epoch": 1,
        "cartwright.request_id": "a-purchase",
        "user.id": shopper.user_id,
    }
    assert {one.facts["cartwright.request_id"] for one in spans if "process" in one.name} == {"a-purchase"}
    assert "traced" not in str(spans), "the key of the purchase"
    for part in ("gateway", "checkout", "checkout-relay", "cart-consumer"):
        lines = [line for line in platform.stack.home.log(part).read_text().splitlines() if trace_id in line]
        assert any(f'"trace_id":"{trace_id}"' in line for line in lines), part


def test_a_takeover_links_to_the_claim(platform, shopper, eventually) -> None:
    """A saga whose driver is killed has a second span by whoever took it over: below the claim, and with a link to it."""
    trace_id, headers = new_trace()
    shopper.add(4, 1)
    platform.bank("hang", shopper.user_id, times=3)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(buy, shopper, "killed", headers)
        paying = "SELECT id FROM checkout.checkout_sessions WHERE user_id = $1 AND step = 'PAYING'"
        [row] = eventually(lambda: platform.sql(paying, shopper.user_id))
        [claim] = eventually(lambda: named(platform.collector.trace(trace_id), "checkout.claim"))
        platform.stack.kill("checkout")
        assert asked.result().status_code in {202, 503}
    platform.stack.wait_ready("checkout", timeout=30)

    def ended():
        return [one for one in named(platform.collector.trace(trace_id), "saga") if not one.failed]

    eventually(lambda: shopper.checkout(str(row["id"]))["status"] == "COMPLETED", 60)
    saga = eventually(ended)[-1]
    assert (saga.service, saga.parent_id, saga.links) == ("checkout-recovery", claim.id, ((trace_id, claim.id),))
    assert saga.facts["cartwright.checkout_id"] == str(row["id"])
    assert saga.facts["cartwright.lease_epoch"] > 1
    eventually(lambda: named(platform.collector.trace(trace_id), "process checkout-events"), 30)


def test_a_payment_that_is_resolved_later_is_in_the_trace_of_its_purchase(platform, shopper, eventually) -> None:
    """What the resolver does about a payment whose bank hung is below the step that asked for the charge, and links to it."""
    trace_id, headers = new_trace()
    shopper.add()
    with away(platform, "checkout-recovery"):  # it would ask for the charge again
        platform.bank("hang", shopper.user_id, times=1)
        answer = buy(shopper, "hung", headers)
        assert answer.status_code in {202, 503}
        mine = "UPDATE payment.payments SET next_attempt_at = clock_timestamp() WHERE user_id = $1 AND state = 'INTENT'"
        eventually(lambda: platform.sql(f"{mine} RETURNING 1", shopper.user_id))

        def resolved():
            found = paths(platform.collector.trace(trace_id))
            return {path[path.index("payment-resolver") :] for path in found if "payment-resolver" in path}

        eventually(lambda: resolved() == paths_in(RESOLVED))
    spans = platform.collector.trace(trace_id)
    [row] = platform.sql("SELECT checkout_id, state FROM payment.payments WHERE user_id = $1", shopper.user_id)
    assert row["state"] == "CAPTURED"
    charges = {one.id for one in named(spans, "payment.Charge") if one.service == "checkout"}
    attempts = named(spans, "payment.resolve")  # two, where the first had begun when the payment was made due
    assert attempts
    for attempt in attempts:
        assert attempt.parent_id in charges
        assert attempt.links == ((trace_id, attempt.parent_id),)
        assert attempt.facts["cartwright.checkout_id"] == row["checkout_id"]
    eventually(lambda: shopper.checkout(row["checkout_id"])["status"] == "COMPLETED", 60)


def test_a_reservation_that_expires_is_in_the_trace_of_its_purchase(platform, eventually) -> None:
    """What the sweeper takes back is a span below the request that had reserved it, and links to it."""
    trace_id, headers = new_trace()
    checkout_id = f"expiring-{trace_id}"
    request = inventory_pb2.ReserveRequest(
        items=[
            inventory_pb2.Reserve(
                call=Call(traceparent=headers["traceparent"]),
                checkout_id=checkout_id,
                lines=[inventory_pb2.ReservationLine(product_id=2, quantity=1)],
            )
        ]
    )
    with grpc.insecure_channel(platform.urls["INVENTORY_ADDR"]) as channel:
        inventory_pb2_grpc.InventoryServiceStub(channel).Reserve(request, timeout=5)
    expired = "UPDATE inventory.reservation SET expires_at = '-infinity' WHERE checkout_id = $1"
    platform.sql(expired, checkout_id)
    [found] = eventually(lambda: named(platform.collector.trace(trace_id), "reservation.expire"))
    assert (found.service, found.parent_id, found.links) == ("inventory-sweeper", CLIENT, ((trace_id, CLIENT),))
    assert found.facts["cartwright.checkout_id"] == checkout_id


def test_what_failed_is_kept_without_being_sampled(platform, shopper, eventually) -> None:
    """Of a purchase that is declined, and not sampled, the saga is there with its calls; what went well elsewhere is not."""
    trace_id, headers = new_trace(sampled=False)
    shopper.add()
    platform.bank("decline", shopper.user_id)
    assert buy(shopper, "declined", headers).json()["reason"] == "PaymentDeclined"
    [saga] = eventually(lambda: named(platform.collector.trace(trace_id), "saga"))
    assert (saga.failed, saga.facts["error.type"]) == (True, "PaymentDeclined")
    eventually(lambda: named(platform.collector.trace(trace_id), "saga.release"))
    names = {one.name for one in platform.collector.trace(trace_id)}
    assert {"saga.reserve", "saga.charge", "cartwright.payment.PaymentService/Charge"} <= names
    assert {one.service for one in platform.collector.trace(trace_id)} == {"checkout"}


def test_what_is_slow_is_kept_without_being_sampled(platform, shopper, eventually) -> None:
    """Of a purchase that waits for the bank, and is not sampled, every process that waited has its part in one trace."""
    trace_id, headers = new_trace(sampled=False)
    shopper.add()
    platform.bank("hang", shopper.user_id, times=1)
    assert buy(shopper, "slow", headers).status_code in {200, 202}
    wanted = {"POST /api/v1/checkout", "saga", "saga.charge", "cartwright.payment.PaymentService/Charge"}
    eventually(lambda: wanted <= {one.name for one in platform.collector.trace(trace_id)}, 30)
    [root] = named(platform.collector.trace(trace_id), "POST /api/v1/checkout")
    assert root.parent_id == CLIENT
    assert {"gateway", "checkout"} <= {one.service for one in platform.collector.trace(trace_id)}
