"""The REST contract, route by route."""

import asyncio
from decimal import Decimal

import msgspec
import pytest
from yarl import URL

from services.errors import OutcomeUnknown, Unavailable
from services.gateway import bodies, views
from services.pb import cart_pb2, checkout_pb2

ORDER_ID = "7c1e0000-0000-4000-8000-000000000001"
STORED = b'{"checkout_id":"c1", "status":"COMPLETED"}'
ROUTES = [
    ("GET", "/api/v1/products"),
    ("GET", "/api/v1/products/1"),
    ("GET", "/api/v1/cart"),
    ("DELETE", "/api/v1/cart"),
    ("POST", "/api/v1/cart/items"),
    ("PUT", "/api/v1/cart/items/1"),
    ("DELETE", "/api/v1/cart/items/1"),
    ("POST", "/api/v1/checkout"),
    ("GET", "/api/v1/checkout/c1"),
    ("GET", "/api/v1/orders"),
    ("GET", f"/api/v1/orders/{ORDER_ID}"),
]
METHODS = (
    "ListProducts", "GetProducts", "GetCarts", "AddItems", "SetQuantities", "RemoveItems", "ClearCarts",
    "StartCheckouts", "GetCheckouts", "ListOrders", "GetOrders",
)  # fmt: skip
WITH_BODY = [route for route in ROUTES if route[0] in {"POST", "PUT"}]
BAD_BODIES = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * 8000, b'{"a":' * 2000, b'{"quantity": NaN}',
    b'{"product_id": 1, "quantity": 1e308}', b'{"product_id": 1, "quantity": Infinity}',
    b'{"product_id": "1", "quantity": 1}', b'{"product_id": 1, "quantity": 1, "price": 1}',
    b'{"product_id": 1, "quantity": 1.5}', b'{"product_id": true, "quantity": 1}', b'{"quantity": null}',
    b'{"product_id": ' + b"9" * 5000 + b', "quantity": 1}', b'{"quantity": ' + b"9" * 5000 + b"}",
    b'{"quantity": -99999999999999999999}', b'{"product_id": -1, "quantity": 1}', b'{"idempotency_key": 1}',
    b'{"idempotency_key": "\\ud800"}', b'{"idempotency_key": "a\\u0000b"}', b'{"idempotency_key": "   "}',
    b'{"idempotency_key": "a", "user_id": 2}', b'{"idempotency_key": "' + b"k" * 256 + b'"}',
]  # fmt: skip


async def test_a_product_has_its_price_in_major_units(gateway):
    """A price is shown as a number with two decimals, and a time as RFC 3339 in UTC."""
    response = await gateway.client.get("/api/v1/products/1")
    product = await response.json()
    assert response.status == 200
    assert (product["price"], product["created_at"]) == (1299.99, "2023-11-14T22:13:20.000Z")


async def test_the_catalogue_is_not_sent_twice(gateway):
    """A client that has the catalogue already gets 304 and no body."""
    first = await gateway.client.get("/api/v1/products")
    again = await gateway.client.get("/api/v1/products", headers={"If-None-Match": first.headers["ETag"]})
    other = await gateway.client.get("/api/v1/products", headers={"If-None-Match": '"another"'})
    assert (first.status, again.status, other.status) == (200, 304, 200)
    assert await again.read() == b""


async def test_an_empty_cart_looks_as_it_always_has(gateway):
    """A cart without lines has no id, totals of 0 and the year 1."""
    response = await gateway.client.get("/api/v1/cart")
    assert await response.json() == {
        "cart_id": "", "user_id": 1, "items": [], "total_items": 0, "total_price": 0,
        "updated_at": "0001-01-01T00:00:00Z",
    }  # fmt: skip


async def test_a_cart_is_filled_changed_and_emptied(gateway):
    """Every change of the cart answers with the whole cart."""
    client = gateway.client
    added = await (await client.post("/api/v1/cart/items", json={"product_id": 1, "quantity": 2})).json()
    assert (added["total_items"], added["total_price"], added["items"][0]["subtotal"]) == (1, 2599.98, 2599.98)
    changed = await (await client.put("/api/v1/cart/items/1", json={"quantity": 3})).json()
    assert changed["items"][0]["quantity"] == 3
    assert (await (await client.delete("/api/v1/cart/items/1")).json())["items"] == []
    assert (await (await client.delete("/api/v1/cart")).json())["total_items"] == 0


@pytest.mark.parametrize(
    ("request_line", "body", "status", "error"),
    [
        ("GET /api/v1/products/999", None, 404, "product not found"),
        ("POST /api/v1/cart/items", {"product_id": 999, "quantity": 1}, 404, "product not found"),
        ("POST /api/v1/cart/items", {"product_id": 1, "quantity": 0}, 400, "quantity must be between 1 and 99"),
        ("POST /api/v1/cart/items", {"product_id": 1, "quantity": 10**12}, 400, "quantity must be between 1 and 99"),
        ("PUT /api/v1/cart/items/999", {"quantity": 5}, 404, "item not found in cart"),
        ("DELETE /api/v1/cart/items/999", None, 404, "item not found in cart"),
        ("POST /api/v1/checkout", {}, 400, "idempotency_key is required"),
        ("POST /api/v1/checkout", None, 400, "idempotency_key is required"),
        ("GET /api/v1/orders?limit=0", None, 400, "limit must be between 1 and 100"),
        ("GET /api/v1/orders?limit=101", None, 400, "limit must be between 1 and 100"),
    ],
)
async def test_errors_say_what_the_contract_says(gateway, request_line, body, status, error):
    """What is refused is refused in the words of the contract."""
    response = await gateway.client.request(*request_line.split(), json=body)
    assert (response.status, (await response.json())["error"]) == (status, error)


async def test_the_stored_answer_is_given_byte_for_byte(gateway, backend):
    """The body of an ended checkout is the stored one, and a replay says that it is one."""
    first = await gateway.client.post("/api/v1/checkout", json={"idempotency_key": "k"})
    backend.answer.replayed = True
    again = await gateway.client.post("/api/v1/checkout", headers={"Idempotency-Key": "k"})
    assert (first.status, await first.read(), "Idempotent-Replayed" in first.headers) == (200, STORED, False)
    assert (again.status, await again.read(), again.headers["Idempotent-Replayed"]) == (200, STORED, "true")
    assert [items[0].idempotency_key for _, items in backend.asked] == ["k", "k"]


async def test_a_running_checkout_says_where_to_look(gateway, backend):
    """An outcome that is not known in time is 202 with the address of the checkout."""
    backend.answer = checkout_pb2.Answer(checkout_id="c2", status=checkout_pb2.PROCESSING)
    response = await gateway.client.post("/api/v1/checkout", json={"idempotency_key": "k"})
    assert (response.status, response.headers["Location"]) == (202, "/api/v1/checkout/c2")
    assert await response.json() == {"checkout_id": "c2", "status": "PROCESSING"}


async def test_a_second_checkout_is_told_of_the_first(gateway, backend):
    """A conflict names the checkout that is running."""
    backend.running = "c9"
    response = await gateway.client.post("/api/v1/checkout", json={"idempotency_key": "k"})
    assert response.status == 409
    assert (await response.json())["checkout_id"] == "c9"


async def test_products_that_are_gone_are_named(gateway, backend):
    """A checkout of a cart with products that left the catalogue is 409 and names them, in words and for programs."""
    backend.gone = [
        checkout_pb2.UnknownProduct(product_id=9, product_name="Typewriter"),
        checkout_pb2.UnknownProduct(product_id=10),
    ]
    response = await gateway.client.post("/api/v1/checkout", json={"idempotency_key": "k"})
    assert (response.status, await response.json()) == (
        409,
        {
            "error": "not in the catalogue: Typewriter (product 9)",
            "code": "products_unavailable",
            "products": [
                {"product_id": 9, "product_name": "Typewriter"},
                {"product_id": 10, "product_name": "product 10"},
            ],
        },
    )


async def test_a_gone_product_keeps_its_name_and_counts_nothing(gateway, backend):
    """A line whose product left the catalogue says so, and is in no total; other lines have no such member."""
    backend.carts[1] = {1: 9999, 9: 3}
    cart = await (await gateway.client.get("/api/v1/cart")).json()
    laptop, gone = cart["items"]
    assert gone == {
        "product_id": 9, "product_name": "Typewriter", "quantity": 3, "price": 0, "subtotal": 0, "available": False,
    }  # fmt: skip
    assert (cart["total_items"], cart["total_price"]) == (1, 12998600.01)
    assert "available" not in laptop


async def test_the_largest_cart_has_an_exact_total(gateway, backend):
    """A hundred lines of 9,999 at the highest price there can be are shown to the cent."""
    message = cart_pb2.Cart(
        lines=[cart_pb2.CartLine(product_id=n, quantity=9999, unit_price_minor=999_999_999) for n in range(100)]
    )
    shown = msgspec.json.encode(views.cart(message)["total_price"])
    assert Decimal(shown.decode()) == Decimal(9999 * 100 * 999_999_999) / 100


async def test_a_completed_checkout_shows_its_order(gateway):
    """A checkout has the id of its order once it has completed, and no such member before."""
    running = await (await gateway.client.get("/api/v1/checkout/c1")).json()
    done = await (await gateway.client.get("/api/v1/checkout/done")).json()
    assert ("order_id" in running, done["order_id"]) == (False, ORDER_ID)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize("body", BAD_BODIES)
async def test_a_bad_body_is_the_callers_error(gateway, backend, method, path, body):
    """No body can make the gateway fail, and a bad one never starts a checkout."""
    response = await gateway.client.request(method, path, data=body, headers={"Content-Type": "application/json"})
    assert response.status in {400, 404}, await response.text()
    assert set(await response.json()) == {"error", "code"}
    assert "StartCheckouts" not in {name for name, _ in backend.asked}


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_a_body_of_more_than_16_kib_is_refused(gateway, method, path):
    """A body past the limit is 413."""
    response = await gateway.client.request(method, path, data=b" " * (16 * 1024 + 1))
    assert (response.status, set(await response.json())) == (413, {"error", "code"})


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_a_body_that_does_not_come_is_not_waited_for(gateway, backend, monkeypatch, method, path):
    """Who announces a body and does not send it is answered with 408 after a while."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    server = gateway.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{{".encode())
    answer = await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'{"error":"the body was not there' in answer


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("user", ["", "0", "-1", "x", "1.0", "9223372036854775808", "9" * 5000, "١", " ,1"])  # noqa: RUF001 - a digit, but no ASCII one
async def test_a_user_id_is_a_positive_64_bit_integer(gateway, backend, method, path, user):
    """A user id that is none is refused on every route, and nothing is asked of any service."""
    response = await gateway.client.request(method, path, headers={"X-User-Id": user}, json={})
    assert (response.status, backend.asked) == (400, [])


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_only_the_users_own_id_is_asked_for(gateway, backend, method, path):
    """Every call made for a user carries that user's id, so that no other's things can be seen."""
    body = {"POST": {"product_id": 1, "quantity": 1}, "PUT": {"quantity": 1}}.get(method)
    if path == "/api/v1/checkout":
        body = {"idempotency_key": "k"}
    await gateway.client.request(method, path, headers={"X-User-Id": "2"}, json=body)
    users = {item.user_id for name, items in backend.asked for item in items if "Product" not in name}
    assert users == (set() if "products" in path else {2})


@pytest.mark.parametrize("path", ["/api/v1/checkout/c1", f"/api/v1/orders/{ORDER_ID}"])
async def test_another_users_things_are_not_found(gateway, path):
    """What belongs to somebody else is 404, as if it were not there."""
    mine = await gateway.client.get(path)
    theirs = await gateway.client.get(path, headers={"X-User-Id": "2"})
    assert (mine.status, theirs.status) == (200, 404)


@pytest.mark.parametrize("path", ["/api/v1/products/{}", "/api/v1/checkout/{}", "/api/v1/orders/{}"])
@pytest.mark.parametrize("text", ["x", "%00", "%ff", "%ed%a0%80", "0", "-1", "1.0", "9" * 5000, "%0d%0a", "1%2f2"])
async def test_a_strange_id_is_the_callers_error(gateway, path, text):
    """No id in a path can make the gateway fail."""
    response = await gateway.client.get(URL(path.format(text), encoded=True))
    assert response.status in {400, 404}, await response.text()
    assert set(await response.json()) == {"error", "code"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_part_that_is_away_is_503(gateway, backend, method, path):
    """While a part is away the answer is 503, with when to try again."""
    for name in METHODS:
        backend.broken[name] = Unavailable("away")
    body = {"POST": {"product_id": 1, "quantity": 1}, "PUT": {"quantity": 1}}.get(method)
    if path == "/api/v1/checkout":
        body = {"idempotency_key": "k"}
    response = await gateway.client.request(method, path, json=body)
    assert response.status == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert len(backend.asked) == (2 if method == "GET" else 1)  # a write is never sent again


async def test_an_unknown_outcome_of_a_checkout_asks_for_the_same_key(gateway, backend):
    """When nobody knows whether it was bought, the shopper is told to repeat with the same key."""
    for error, status in ((OutcomeUnknown("no answer"), 503), (RuntimeError("secret"), 500)):
        backend.broken["StartCheckouts"] = error
        response = await gateway.client.post("/api/v1/checkout", json={"idempotency_key": "k"})
        assert response.status == status
        assert ("Retry-After" in response.headers) == (status == 503)
        assert "same key" in (await response.json())["error"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_unexpected_failure_is_500_with_the_request_id(gateway, backend, method, path):
    """What fails unexpectedly in a service is 500 with the request's id, shows nothing internal, and is not repeated."""
    for name in METHODS:
        backend.broken[name] = RuntimeError("secret at 10.0.0.1")
    body = {"POST": {"product_id": 1, "quantity": 1}, "PUT": {"quantity": 1}}.get(method)
    if path == "/api/v1/checkout":
        body = {"idempotency_key": "k"}
    response = await gateway.client.request(method, path, json=body, headers={"X-Request-Id": "r-1"})
    answer = await response.json()
    assert (response.status, answer.pop("request_id"), set(answer)) == (500, "r-1", {"error", "code"})
    assert "secret" not in answer["error"]
    assert len(backend.asked) == 1


async def test_a_failure_of_the_gateway_itself_is_500_with_the_request_id(gateway, monkeypatch):
    """What fails unexpectedly in the gateway is 500 with the request's id, and counted by its route."""
    monkeypatch.setattr(views, "cart_body", lambda _: 1 / 0)
    response = await gateway.client.get("/api/v1/cart", headers={"X-Request-Id": "r-1"})
    assert (response.status, await response.json()) == (
        500,
        {"error": "internal error", "code": "internal_error", "request_id": "r-1"},
    )
    counted = gateway.metrics.registry.get_sample_value
    assert counted("cartwright_internal_errors_total", {"where": "GET /api/v1/cart"}) == 1


async def test_one_users_failing_request_fails_alone(gateway, backend, monkeypatch):
    """However often one user's request fails unexpectedly, other users are served, and no breaker opens."""
    cart = backend._cart
    monkeypatch.setattr(backend, "_cart", lambda user_id: 1 / 0 if user_id == 2 else cart(user_id))
    for _ in range(40):
        assert (await gateway.client.get("/api/v1/cart", headers={"X-User-Id": "2"})).status == 500
    assert (await gateway.client.get("/api/v1/cart", headers={"X-User-Id": "3"})).status == 200
    counted = gateway.metrics.registry.get_sample_value
    assert counted("cartwright_breaker_opened_total", {"dependency": "cart"}) == 0
    assert counted("cartwright_retries_total", {"dependency": "cart"}) == 0
