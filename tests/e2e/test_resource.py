"""Checkouts that are applied: one purchase each, shown as it goes, and removed in time."""

import pytest

from tests.kube import MOUSE

pytestmark = pytest.mark.e2e


def test_items_of_its_own(kube, shopper, eventually, bought) -> None:
    """A resource with items buys those and leaves the cart alone, whose own checkout works afterwards."""
    shopper.add(1, 2)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    status = eventually(lambda: kube.finished(name))
    assert (status["phase"], status["step"], status["progress"]) == ("Completed", "Confirm", "4/4")
    assert status["total"]["amountMinor"] > 0
    assert status["observedGeneration"] == 1
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert conditions == dict.fromkeys(("Succeeded", "Finished", "InventoryReserved", "PaymentCaptured"), "True")
    assert [order["id"] for order in eventually(shopper.orders)] == [status["orderId"]]
    assert shopper.cart()["items"][0]["quantity"] == 2
    assert shopper.buy("afterwards").json()["status"] == "COMPLETED"
    assert bought(shopper) == 2


def test_the_cart(kube, shopper, eventually, bought) -> None:
    """A resource without items buys the cart, and empties it."""
    shopper.add(2, 3)
    name = kube.apply(userId=shopper.user_id)
    assert eventually(lambda: kube.finished(name))["phase"] == "Completed"
    eventually(lambda: shopper.cart()["items"] == [])
    assert bought(shopper) == 1


def test_a_declined_payment(kube, platform, shopper, eventually) -> None:
    """A declined payment fails with its reason in words, what was held goes back, and an event reports it."""
    platform.bank("decline", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    status = eventually(lambda: kube.finished(name))
    assert (status["phase"], status["step"], status["progress"]) == ("Failed", "Pay", "2/4")
    assert kube.reason(name) == "PaymentDeclined"
    assert kube.condition(name, "Compensated")["status"] == "True"
    uid = kube.get(name)["metadata"]["uid"]
    events = f"{kube.url}/api/v1/namespaces/{kube.namespace}/events?fieldSelector=involvedObject.uid={uid}"

    def reasons() -> list[str]:
        return [event["reason"] for event in kube.session.get(events, timeout=10).json()["items"]]

    eventually(lambda: "PaymentDeclined" in reasons())
    assert sorted(reasons()) in (["PaymentDeclined"], ["Compensating", "PaymentDeclined"])  # if it was seen giving back


@pytest.mark.parametrize(
    ("items", "reason", "step"),
    [([{"productId": 987654321, "quantity": 1}], "UnknownProduct", "Claim"), (None, "EmptyCart", "Claim")],
)
def test_what_cannot_be_bought(kube, shopper, eventually, items, reason, step) -> None:
    """What cannot be bought ends as Failed at its step, with the reason in words."""
    name = kube.apply(userId=shopper.user_id, **({"items": items} if items else {}))
    status = eventually(lambda: kube.finished(name))
    assert (status["phase"], status["step"], kube.reason(name)) == ("Failed", step, reason)
    assert kube.condition(name, "Succeeded")["message"]


def test_out_of_stock(kube, platform, shopper, eventually) -> None:
    """More than there is fails as OutOfStock, and nothing stays reserved."""
    before = platform.sql("SELECT received, available FROM inventory.stock WHERE product_id = 5")[0]
    taken = "UPDATE inventory.stock SET received = received + $1, available = available + $1 WHERE product_id = 5"
    platform.sql(taken, 1 - before["available"])
    try:
        name = kube.apply(userId=shopper.user_id, items=[{"productId": 5, "quantity": 2}])
        assert eventually(lambda: kube.finished(name))["step"] == "Reserve"
        assert kube.reason(name) == "OutOfStock"
    finally:
        platform.sql(taken, before["available"] - 1)


def test_a_timeout_of_its_own(kube, platform, shopper, eventually, bought) -> None:
    """A checkout that is not paid within timeoutSeconds ends as TimedOut."""
    platform.bank("hang", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE, timeoutSeconds=5)
    eventually(lambda: kube.finished(name), 60)
    assert kube.reason(name) == "TimedOut"
    assert bought(shopper) == 0


def test_deleted_in_the_middle(kube, platform, shopper, eventually) -> None:
    """Deleting the resource deletes the view: the purchase goes on."""
    platform.bank("hang", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    kube.delete(name)
    platform.bank("approve", shopper.user_id)
    assert len(eventually(shopper.orders, 60)) == 1
    assert kube.get(name) is None


def test_a_status_written_by_hand(kube, shopper, eventually) -> None:
    """What somebody writes into a status is repaired, also where it claims to be newer."""
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    status = eventually(lambda: kube.finished(name))
    kube.change(name, {"status": {"phase": "Failed", "orderId": "stolen", "sagaVersion": 1000}}, "/status")
    eventually(lambda: kube.status(name) == status, 40)


FORGED = {"finishedAt": "2020-01-01T00:00:00Z", "phase": "Failed", "sagaVersion": 1000}


def test_a_status_ends_nothing(kube, platform, shopper, eventually, bought) -> None:
    """A checkout that runs keeps its resource, whatever end somebody writes into its status; its time begins at its own end."""
    platform.bank("hang", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE, ttlSecondsAfterFinished=1)
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    uid = kube.get(name)["metadata"]["uid"]
    kube.change(name, {"status": FORGED}, "/status")
    swept = kube.apply(
        userId=shopper.user_id, items=[{"productId": 987654321, "quantity": 1}], ttlSecondsAfterFinished=3
    )
    eventually(lambda: kube.get(swept) is None, 60)  # the sweeper has looked at all of them again and again
    assert kube.get(name)["metadata"]["uid"] == uid
    eventually(lambda: kube.status(name).get("phase") == "Paying", 40)
    platform.bank("approve", shopper.user_id)
    eventually(lambda: kube.get(name) is None, 60)
    assert bought(shopper) == 1


def test_the_largest_user(kube, eventually, platform) -> None:
    """The user with the largest id buys by a resource: what is stored, charged and shown has the id to the digit."""
    user = 2**63 - 1
    name = kube.apply(userId=user, items=MOUSE)
    status = eventually(lambda: kube.finished(name))
    assert status["phase"] == "Completed"
    assert kube.get(name)["spec"]["userId"] == user
    row = platform.sql("SELECT user_id FROM checkout_sessions WHERE id::text = $1", status["checkoutId"])
    assert row == [{"user_id": user}]
    paid = platform.sql("SELECT user_id, state FROM transactions WHERE key = $1", status["checkoutId"], bank=True)
    assert paid == [{"user_id": user, "state": "CAPTURED"}]
    order = "SELECT user_id FROM orders.orders WHERE id::text = $1"
    assert eventually(lambda: platform.sql(order, status["orderId"])) == [{"user_id": user}]


@pytest.mark.parametrize("product", [2**31, 2**53 + 1, 2**63 - 1])
def test_a_large_product(kube, shopper, eventually, product) -> None:
    """A product id up to 64 bits goes all the way: one that is not in the catalogue is an unknown product, and nothing worse."""
    name = kube.apply(userId=shopper.user_id, items=[{"productId": product, "quantity": 1}])
    assert eventually(lambda: kube.finished(name))["phase"] == "Failed"
    assert kube.reason(name) == "UnknownProduct"


def test_finished_ones_go(kube, shopper, eventually) -> None:
    """A resource is deleted ttlSecondsAfterFinished after its end, and may be deleted sooner than was asked at first."""
    name = kube.apply(userId=shopper.user_id, items=MOUSE, ttlSecondsAfterFinished=1)
    kept = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.finished(kept))
    eventually(lambda: kube.get(name) is None, 20)
    kube.change(kept, {"spec": {"ttlSecondsAfterFinished": 0}})
    eventually(lambda: kube.get(kept) is None, 20)
