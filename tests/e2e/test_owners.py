"""Behind the gateway too: by no gRPC method that takes a user id can one user see or change what another has."""

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from services.chassis.call_streams import SUFFIX
from services.pb import bank_pb2, cart_pb2, checkout_pb2, inventory_pb2, orders_pb2, payment_pb2, product_pb2
from tests.e2e.owned import KEYS, furnish, sold

pytestmark = [pytest.mark.e2e, pytest.mark.local]  # the services are reached from outside on devstack alone

FILES = (bank_pb2, cart_pb2, checkout_pb2, inventory_pb2, orders_pb2, payment_pb2, product_pb2)
ALL = {
    f"{service.name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def of_a_user(message):
    return any(
        field.name == "user_id" or (field.message_type and of_a_user(field.message_type)) for field in message.fields
    )


OF_USERS = {name for name, method in ALL.items() if of_a_user(method.input_type)}
NOBODYS = {"BankAdmin/SetBehaviour"}  # tells the simulated bank how to answer; a user has nothing there
NOT_FOUND, INVALID = (code.value[0] for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT))


@pytest.fixture(scope="module")
def owned(platform, eventually):
    return furnish(platform, platform.shopper(), eventually)


@pytest.fixture
def send(platform, request):
    """Give what calls a method, with one item where it takes a batch, and gives its reply or the item's result.

    In a test of a method for streams, all calls that can go over a stream do.
    """
    over = SUFFIX if request.node.callspec.params["method"].endswith(SUFFIX) else ""

    def send(name, **values):
        method = ALL.get(name + over) or ALL[name]
        message = GetMessageClass(method.input_type)
        batch = "items" in method.input_type.fields_by_name
        path = f"/{method.containing_service.full_name}/{method.name}"
        with grpc.insecure_channel(
            platform.urls[f"{method.containing_service.file.package.split('.')[1].upper()}_ADDR"]
        ) as channel:
            kind = channel.stream_stream if method.client_streaming else channel.unary_unary
            call = kind(path, message.SerializeToString, GetMessageClass(method.output_type).FromString)
            asked = message(items=[values]) if batch else message(**values)
            reply = next(call(iter([asked]), timeout=10)) if method.client_streaming else call(asked, timeout=10)
        return reply.results[0] if batch else reply

    return send


def carts(name, **more):
    def check(send, owned, stranger):
        send("CartService/AddItems", user_id=stranger.user_id, product_id=2, quantity=1)
        result = send(name, user_id=stranger.user_id, **more)
        assert result.cart.user_id == stranger.user_id
        assert owned.in_cart not in {line.product_id for line in result.cart.lines}

    return check


def refused(name, code, **more):
    def check(send, owned, stranger):
        values = {key: value(owned) if callable(value) else value for key, value in more.items()}
        assert send(name, user_id=stranger.user_id, **values).refusal.code == code

    return check


def starting(send, owned, stranger):
    stranger.add(2, 1)
    answer = send("CheckoutService/StartCheckouts", user_id=stranger.user_id, origin=1, idempotency_key=KEYS[0]).answer
    assert answer.checkout_id
    assert answer.checkout_id not in owned.checkouts
    assert not answer.replayed


def getting(send, owned, stranger):
    by_id = {"checkout_id": owned.checkouts[0]}
    by_key = {"origin": 1, "idempotency_key": KEYS[0]}
    for which in (by_id, by_key):
        mine = send("CheckoutService/GetCheckouts", user_id=owned.shopper.user_id, **which)
        theirs = send("CheckoutService/GetCheckouts", user_id=stranger.user_id, **which)
        assert (mine.checkout.id, theirs.refusal.code) == (owned.checkouts[0], NOT_FOUND)


def cancelling(send, owned, stranger):
    wanted = {"origin": 2, "idempotency_key": "applied", "items": [{"product_id": 2, "quantity": 1}]}
    wanted["resource"] = {"uid": f"of-{owned.shopper.user_id}", "namespace": "default", "name": "applied"}
    made = send("CheckoutService/CancelCheckouts", user_id=owned.shopper.user_id, **wanted).checkout
    wanted["resource"] = wanted["resource"] | {"uid": f"of-{stranger.user_id}"}
    other = send("CheckoutService/CancelCheckouts", user_id=stranger.user_id, **wanted).checkout
    assert made.id
    assert other.id not in {made.id, ""}
    assert other.user_id == stranger.user_id


def listing(send, owned, stranger):
    mine = send("OrdersService/ListOrders", user_id=owned.shopper.user_id, limit=1).page
    assert mine.orders[0].id in owned.orders
    for cursor in ("", mine.next_cursor):
        assert not send("OrdersService/ListOrders", user_id=stranger.user_id, limit=10, cursor=cursor).page.orders


def charging(send, owned, stranger):
    charge = {"amount_minor": owned.platform.sql(PRICE, owned.checkouts[0], bank=True)[0]["amount_minor"]}
    charge |= {"currency": "USD", "user_id": stranger.user_id}
    result = send("PaymentService/Charge", checkout_id=owned.checkouts[0], **charge)
    assert result.refusal.code == INVALID
    with pytest.raises(grpc.RpcError) as error:
        send("Bank/Charge", key=owned.checkouts[0], **charge)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sold(owned.platform, stranger) == []


PRICE = "SELECT amount_minor FROM transactions WHERE key = $1"
MATRIX = {
    "CartService/GetCarts": carts("CartService/GetCarts"),
    "CartService/AddItems": carts("CartService/AddItems", product_id=4, quantity=1),
    "CartService/SetQuantities": refused(
        "CartService/SetQuantities", NOT_FOUND, product_id=lambda owned: owned.in_cart, quantity=9
    ),
    "CartService/RemoveItems": refused("CartService/RemoveItems", NOT_FOUND, product_id=lambda owned: owned.in_cart),
    "CartService/ClearCarts": carts("CartService/ClearCarts"),
    "CheckoutService/StartCheckouts": starting,
    "CheckoutService/GetCheckouts": getting,
    "CheckoutService/CancelCheckouts": cancelling,
    "OrdersService/ListOrders": listing,
    "OrdersService/GetOrders": refused("OrdersService/GetOrders", NOT_FOUND, order_id=lambda owned: owned.orders[0]),
    "PaymentService/Charge": charging,
    "Bank/Charge": charging,
}


@pytest.mark.parametrize("method", sorted(OF_USERS - NOBODYS))
def test_nobody_meets_anothers_things(owned, platform, send, method: str) -> None:
    """With another user id, what a user has is not found and not changed; a method that is not in the matrix fails."""
    before = owned.now()
    assert (before["cart"]["total_items"], len(before["orders"]), len(before["sold"])) == (1, 2, 2)
    unary = method.removesuffix(SUFFIX)
    assert unary in MATRIX, f"say in MATRIX why nobody meets another's things by {unary}"
    MATRIX[unary](send, owned, platform.shopper())
    assert owned.now() == before


def test_the_matrix_has_no_method_that_is_gone() -> None:
    """What stands in the matrix takes a user id."""
    assert set(MATRIX) == {name.removesuffix(SUFFIX) for name in OF_USERS - NOBODYS}
