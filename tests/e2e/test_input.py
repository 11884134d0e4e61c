"""Input that is not as it should be: a clear error on every route and every method, and nothing stored."""

import gzip

import grpc
import pytest

from services.gateway.docs import openapi
from services.pb import bank_pb2, cart_pb2, checkout_pb2, inventory_pb2, orders_pb2, payment_pb2, product_pb2
from tests import keys

pytestmark = pytest.mark.e2e

BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b'{"product_id": "1", "quantity": 1, "idempotency_key": 1}',
    b'{"product_id": NaN, "quantity": Infinity}',
    b'{"product_id": 1e308, "quantity": 1e308}',
    b'{"product_id": 1, "quantity": 1, "price": 0, "idempotency_key": "x", "user_id": 2}',
    b"\xff\xfe",
    b"[" * 10_000,
    b'{"quantity": 99999999999999999999, "product_id": 1}',
    b'{"product_id": 1, "quantity": 1, "quantity": 1}',
    b'{"idempotency_key": "a", "idempotency_key": "a"}',
]
ROUTES = [("POST", "/api/v1/cart/items"), ("PUT", "/api/v1/cart/items/1"), ("POST", "/api/v1/checkout")]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("verb", "path"), ROUTES)
def test_bodies(shopper, platform, verb: str, path: str, body: bytes) -> None:
    """A body that is malformed, mistyped or has fields of its own is refused with 400 and a text."""
    answer = shopper.ask(verb, path, data=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]
    assert not platform.sql("SELECT 1 FROM checkout_sessions WHERE user_id = $1", shopper.user_id)


@pytest.mark.parametrize(("verb", "path"), ROUTES)
def test_oversized(shopper, verb: str, path: str) -> None:
    """A body over 16 KiB is refused with 413."""
    answer = shopper.ask(verb, path, {"idempotency_key": "x" * 20_000})
    assert (answer.status_code, answer.json()["error"]) == (413, "the body is larger than 16 KiB")


def test_keys_of_the_table(shopper) -> None:
    """Every key that gRPC and the Checkout resource accept is accepted, and every other is refused for itself."""
    for key in keys.ACCEPTED.values():
        assert shopper.buy(key).json() == {"error": "cart is empty", "code": "cart_empty"}, ascii(key)
    for key in (*keys.REFUSED.values(), *keys.SURROGATES.values()):
        answer = shopper.buy(key)
        assert (answer.status_code, answer.json()["error"][:15]) == (400, "idempotency_key"), ascii(key)


@pytest.mark.parametrize(
    "name", ["no-break space", "Persian with a zero-width non-joiner", "a family of emoji, joined"]
)
def test_a_key_of_another_script_buys_once(shopper, platform, name: str) -> None:
    """A key with spaces and joiners of other scripts buys, is stored as it is, and replays."""
    key = keys.ACCEPTED[name]
    shopper.add(1, 1)
    first, again = shopper.buy(key), shopper.buy(key)
    assert (first.json()["status"], again.content) == ("COMPLETED", first.content)
    rows = platform.sql("SELECT idempotency_key FROM checkout_sessions WHERE user_id = $1", shopper.user_id)
    assert rows == [{"idempotency_key": key}]


def test_the_key_may_come_as_a_header(shopper, platform) -> None:
    """The key may come as a header, bare or in quotes: all three forms are one purchase. What differs is refused."""
    shopper.add(1, 1)
    path = "/api/v1/checkout"
    headers = {"Idempotency-Key": "by header"}
    assert shopper.ask("POST", path, {"idempotency_key": "other"}, headers=headers).status_code == 400
    answer = shopper.ask("POST", path, {}, headers=headers)
    assert answer.json()["status"] == "COMPLETED"
    assert shopper.buy("by header").content == answer.content
    assert shopper.ask("POST", path, {}, headers={"Idempotency-Key": '"by header"'}).content == answer.content
    assert shopper.ask("POST", path, {}, headers={"Idempotency-Key": '"by header'}).status_code == 400
    assert len(platform.sql("SELECT 1 FROM checkout_sessions WHERE user_id = $1", shopper.user_id)) == 1


def test_an_encoded_body(shopper) -> None:
    """A compressed body is refused with 415, whatever the method of compression."""
    body = gzip.compress(b'{"product_id":1,"quantity":1}')
    for encoding in ("gzip", "br", "zstd", "identity"):
        for verb, path in ROUTES:
            answer = shopper.ask(verb, path, data=body, headers={"Content-Encoding": encoding})
            assert (answer.status_code, bool(answer.json()["error"])) == (415, True)


def test_an_integer_with_a_fraction_of_zero(shopper) -> None:
    """1.0 is an integer, as JSON Schema has it."""
    answer = shopper.ask("POST", "/api/v1/cart/items", data=b'{"product_id":1.0,"quantity":2e0}')
    assert (answer.status_code, answer.json()["items"][0]["quantity"]) == (200, 2)


def test_long_headers_and_urls(shopper) -> None:
    """What is too long is 431 or 414 in JSON, and the answer quotes nothing of it; a header of 13 kB passes."""
    for path, headers, status in (
        ("/api/v1/cart", {"Authorization": "Bearer secret" + "x" * 13_000}, 200),
        ("/api/v1/cart", {"Authorization": "Bearer secret" + "x" * 17_000}, 431),
        ("/api/v1/orders?cursor=secret" + "x" * 9_000, {}, 414),
    ):
        answer = shopper.ask("GET", path, headers=headers)
        assert (answer.status_code, answer.headers["Server"]) == (status, "cartwright")
        assert ("error" in answer.json(), "secret" in answer.text) == (status != 200, False)


def test_head_and_root(shopper) -> None:
    """HEAD has the headers of GET, and a browser that asks for the root lands on the documentation."""
    got, asked = (shopper.ask(verb, "/api/v1/products") for verb in ("GET", "HEAD"))
    names = ("Content-Length", "Content-Type", "ETag")
    assert [asked.headers[name] for name in names] == [got.headers[name] for name in names]
    assert (asked.status_code, asked.content) == (200, b"")
    assert shopper.ask("GET", "/", headers={"Accept": "text/html"}).url.endswith("/docs")


@pytest.mark.parametrize("user", ["0", "-1", "x", "1.0", "9223372036854775808", "\u0661"])
def test_users(shopper, user: str) -> None:
    """A user that is no positive 64-bit integer is refused on every route."""
    for verb, path in [
        ("GET", "/api/v1/cart"),
        ("GET", "/api/v1/orders"),
        ("DELETE", "/api/v1/cart"),
        ("GET", "/api/v1/products"),
    ]:
        answer = shopper.ask(verb, path, headers={"X-User-Id": user.encode()})
        assert (answer.status_code, bool(answer.json()["error"])) == (400, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/products/0", 400),
        ("/api/v1/products/x", 400),
        ("/api/v1/products/9223372036854775808", 400),
        ("/api/v1/products/999", 404),
        ("/api/v1/orders/x", 400),
        ("/api/v1/orders/00000000-0000-4000-8000-000000000000", 404),
        ("/api/v1/orders?limit=0", 400),
        ("/api/v1/orders?limit=101", 400),
        ("/api/v1/orders?limit=x", 400),
        ("/api/v1/orders?cursor=x", 400),
        ("/api/v1/orders?limit=1&limit=2", 400),
        ("/api/v1/orders?page=2", 400),
        ("/api/v1/cart?x=1", 400),
        ("/api/v1/checkout/x", 404),
        ("/api/v1/nothing", 404),
        ("/nothing", 404),
    ],
)
def test_paths(shopper, path: str, status: int) -> None:
    """What a path names wrongly is a 400, what is not there a 404, with a text."""
    answer = shopper.ask("GET", path)
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)


def test_methods(shopper) -> None:
    """Another method on a route that is there is a 405 that says which are allowed."""
    answer = shopper.ask("PATCH", "/api/v1/cart")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, HEAD")


def test_a_user_sees_only_their_own(platform, eventually) -> None:
    """Another user's checkout and order are not found, and another's cart is not touched."""
    owner, other = platform.shopper(), platform.shopper()
    owner.add(1, 1)
    checkout = owner.buy("mine").json()["checkout_id"]
    order = eventually(owner.orders)[0]["id"]
    assert other.ask("GET", f"/api/v1/checkout/{checkout}").status_code == 404
    assert other.ask("GET", f"/api/v1/orders/{order}").status_code == 404
    assert other.orders() == []
    other.add(2, 1)
    assert other.buy("mine").json()["checkout_id"] != checkout


def test_the_contract_is_served(shopper) -> None:
    """The contract is served to machines, and to people by a page that reads it."""
    assert shopper.ask("GET", "/openapi.json").json() == openapi()
    assert "/openapi.json" in shopper.ask("GET", "/docs").text


def test_products_have_an_etag(shopper) -> None:
    """A client that has the catalogue already gets 304."""
    tag = shopper.ask("GET", "/api/v1/products").headers["ETag"]
    assert shopper.ask("GET", "/api/v1/products", headers={"If-None-Match": tag}).status_code == 304


METHODS = [
    (
        "PRODUCT",
        "/cartwright.product.ProductService/GetProducts",
        product_pb2.GetProductsRequest(items=[product_pb2.GetProduct(product_id=-1)]),
    ),
    ("CART", "/cartwright.cart.CartService/GetCarts", cart_pb2.GetCartsRequest(items=[cart_pb2.GetCart(user_id=-1)])),
    (
        "CART",
        "/cartwright.cart.CartService/AddItems",
        cart_pb2.AddItemsRequest(items=[cart_pb2.AddItem(user_id=1, product_id=1, quantity=0)]),
    ),
    (
        "CART",
        "/cartwright.cart.CartService/SetQuantities",
        cart_pb2.SetQuantitiesRequest(items=[cart_pb2.SetQuantity(user_id=1, product_id=1, quantity=100)]),
    ),
    ("CART", "/cartwright.cart.CartService/RemoveItems", cart_pb2.RemoveItemsRequest(items=[cart_pb2.RemoveItem()])),
    ("CART", "/cartwright.cart.CartService/ClearCarts", cart_pb2.ClearCartsRequest(items=[cart_pb2.ClearCart()])),
    (
        "INVENTORY",
        "/cartwright.inventory.InventoryService/Reserve",
        inventory_pb2.ReserveRequest(items=[inventory_pb2.Reserve(checkout_id="x")]),
    ),
    (
        "INVENTORY",
        "/cartwright.inventory.InventoryService/Pin",
        inventory_pb2.ReservationsRequest(items=[inventory_pb2.ReservationRef()]),
    ),
    (
        "INVENTORY",
        "/cartwright.inventory.InventoryService/Confirm",
        inventory_pb2.ReservationsRequest(items=[inventory_pb2.ReservationRef(checkout_id="never")]),
    ),
    (
        "INVENTORY",
        "/cartwright.inventory.InventoryService/Release",
        inventory_pb2.ReservationsRequest(items=[inventory_pb2.ReservationRef(checkout_id="\n")]),
    ),
    (
        "INVENTORY",
        "/cartwright.inventory.InventoryService/Restock",
        inventory_pb2.RestockRequest(items=[inventory_pb2.Restock(restock_id="r", product_id=1)]),
    ),
    (
        "PAYMENT",
        "/cartwright.payment.PaymentService/Charge",
        payment_pb2.ChargeRequest(
            items=[payment_pb2.Charge(checkout_id="x", user_id=1, amount_minor=-5, currency="USD")]
        ),
    ),
    (
        "PAYMENT",
        "/cartwright.payment.PaymentService/Cancel",
        payment_pb2.CancelRequest(items=[payment_pb2.CancelPayment()]),
    ),
    (
        "ORDERS",
        "/cartwright.orders.OrdersService/ListOrders",
        orders_pb2.ListOrdersRequest(items=[orders_pb2.ListOrders(user_id=1)]),
    ),
    (
        "ORDERS",
        "/cartwright.orders.OrdersService/GetOrders",
        orders_pb2.GetOrdersRequest(items=[orders_pb2.GetOrder(user_id=1, order_id="x")]),
    ),
    (
        "CHECKOUT",
        "/cartwright.checkout.CheckoutService/StartCheckouts",
        checkout_pb2.StartCheckoutsRequest(items=[checkout_pb2.StartCheckout(user_id=1, idempotency_key="x")]),
    ),
    (
        "CHECKOUT",
        "/cartwright.checkout.CheckoutService/GetCheckouts",
        checkout_pb2.GetCheckoutsRequest(items=[checkout_pb2.GetCheckout(user_id=1, checkout_id="x")]),
    ),
    ("BANK", "/cartwright.bank.Bank/Charge", bank_pb2.ChargeRequest(key="x", amount_minor=0)),
    ("BANK", "/cartwright.bank.Bank/Get", bank_pb2.GetRequest(key="never")),
    ("BANK", "/cartwright.bank.Bank/Cancel", bank_pb2.CancelRequest()),
    ("BANK", "/cartwright.bank.BankAdmin/SetBehaviour", bank_pb2.SetBehaviourRequest(behaviour=bank_pb2.DECLINE)),
]
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}


@pytest.mark.local  # the services are reached from outside on devstack alone
@pytest.mark.parametrize(("service", "method", "request_"), METHODS)
def test_grpc(platform, service: str, method: str, request_) -> None:
    """Every method refuses a bad item with a text, malformed bytes as the caller's error, and oversized ones unseen."""

    def send(raw: bytes) -> bytes:
        with grpc.insecure_channel(platform.urls[f"{service}_ADDR"]) as channel:
            return channel.unary_unary(method)(raw, timeout=5)

    if service == "BANK":
        with pytest.raises(grpc.RpcError) as error:
            send(request_.SerializeToString())
        assert error.value.code() in REFUSALS
        assert error.value.details()
    else:
        # The first result of any response, whose refusal names code and text: field 1, length-delimited, of each level.
        reply = send(request_.SerializeToString())
        assert any(code.value[0] in reply for code in REFUSALS)
    with pytest.raises(grpc.RpcError) as error:
        send(b"\xff\xff\xff")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as error:
        send(b"\x00" * (5 * 1024 * 1024))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
