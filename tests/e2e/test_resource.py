"""Checkouts that are applied: one purchase each, whatever happens to them, to the operator and to the API server."""

import os
import socket
import subprocess
import sys

import pytest
import requests

from devstack.home import ROOT, user_environment

pytestmark = pytest.mark.e2e
MOUSE = [{"productId": 2, "quantity": 1}]
SOLD = "SELECT count(*) AS n FROM transactions WHERE user_id = $1 AND state = 'CAPTURED'"


@pytest.fixture
def bought(platform):
    """Give how often a user was charged."""
    return lambda shopper: platform.sql(SOLD, shopper.user_id, bank=True)[0]["n"]


@pytest.fixture
def restart(platform):
    """Kill the operator, and wait until it is back."""

    def restart():
        before = platform.stack.row("operator")["restarts"]
        platform.stack.kill("operator")
        while platform.stack.row("operator")["restarts"] == before:
            platform.stack.row("operator")
        platform.stack.wait_ready("operator", timeout=60)

    return restart


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
    """A declined payment fails with its reason in words, what was held goes back, and an event tells of it."""
    platform.bank("decline", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    status = eventually(lambda: kube.finished(name))
    assert (status["phase"], status["step"], status["progress"]) == ("Failed", "Pay", "2/4")
    assert kube.reason(name) == "PaymentDeclined"
    assert kube.condition(name, "Compensated")["status"] == "True"
    uid = kube.get(name)["metadata"]["uid"]
    events = f"{kube.url}/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid={uid}"
    told = eventually(lambda: kube.session.get(events, timeout=10).json()["items"])
    assert [event["reason"] for event in told] == ["PaymentDeclined"]


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


def test_what_failed_never_buys_later(kube, shopper, restart, eventually, bought) -> None:
    """An empty cart stays Failed after the cart fills and the operator restarts; so does what was cancelled first."""
    empty = kube.apply(userId=shopper.user_id)
    cancelled = kube.apply(userId=shopper.user_id, items=MOUSE, cancelRequested=True)
    for name in (empty, cancelled):
        eventually(lambda name=name: kube.finished(name))
    shopper.add(1, 1)
    restart()
    after = kube.apply(userId=shopper.user_id, items=MOUSE)  # once this is done, the others have been looked at again
    eventually(lambda: kube.finished(after))
    assert (kube.reason(empty), kube.reason(cancelled)) == ("EmptyCart", "Cancelled")
    assert bought(shopper) == 1
    assert len(shopper.cart()["items"]) == 1


def test_a_key_of_other_items(kube, shopper, eventually, bought) -> None:
    """The same key buys once; with other items it fails as reused."""
    first = kube.apply(userId=shopper.user_id, items=MOUSE, idempotencyKey="mine")
    same = kube.apply(userId=shopper.user_id, items=MOUSE, idempotencyKey="mine")
    other = kube.apply(userId=shopper.user_id, items=[{"productId": 1, "quantity": 1}], idempotencyKey="mine")
    for name in (first, same, other):
        eventually(lambda name=name: kube.finished(name))
    assert kube.status(first)["checkoutId"] == kube.status(same)["checkoutId"]
    assert kube.reason(other) == "IdempotencyKeyReused"
    assert bought(shopper) == 1


def test_two_from_one_cart(kube, platform, shopper, eventually, bought) -> None:
    """The second waits its turn and says for what; then there is nothing left for it."""
    shopper.add(3, 1)
    platform.bank("hang", shopper.user_id)
    first = kube.apply(userId=shopper.user_id)
    eventually(lambda: kube.status(first).get("phase") == "Paying")
    second = kube.apply(userId=shopper.user_id)
    eventually(lambda: kube.status(first)["checkoutId"] in kube.condition(second, "Succeeded").get("message", ""), 40)
    assert kube.status(second)["phase"] == "Pending"
    platform.bank("approve", shopper.user_id)
    assert eventually(lambda: kube.finished(first), 60)["phase"] == "Completed"
    eventually(lambda: kube.finished(second), 60)
    assert kube.reason(second) == "EmptyCart"
    assert bought(shopper) == 1


def test_cancel_while_paying(kube, platform, shopper, eventually, bought) -> None:
    """A checkout that is cancelled before it is paid gives back what it held, and is not charged."""
    platform.bank("hang", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    kube.patch(name, {"spec": {"cancelRequested": True}})
    assert eventually(lambda: kube.finished(name), 60)["phase"] == "Failed"
    assert kube.reason(name) == "Cancelled"
    assert kube.condition(name, "Compensated")["status"] == "True"
    assert bought(shopper) == 0


def test_cancel_while_it_waits_its_turn(kube, platform, shopper, eventually, bought) -> None:
    """A checkout that waits for the cart is cancelled before it has claimed anything."""
    shopper.add(3, 1)
    platform.bank("hang", shopper.user_id)
    first = kube.apply(userId=shopper.user_id)
    eventually(lambda: kube.status(first).get("phase") == "Paying")
    second = kube.apply(userId=shopper.user_id)
    eventually(lambda: kube.status(second).get("phase") == "Pending")
    kube.patch(second, {"spec": {"cancelRequested": True}})
    assert eventually(lambda: kube.finished(second), 60)["step"] == "Claim"
    assert kube.reason(second) == "Cancelled"
    platform.bank("approve", shopper.user_id)
    assert eventually(lambda: kube.finished(first), 60)["phase"] == "Completed"
    assert bought(shopper) == 1


def test_cancel_while_it_reserves(kube, platform, shopper, eventually, bought) -> None:
    """Cancelled while inventory is away it gives back what it may hold, once inventory is there again."""
    platform.stack.stop("inventory")
    try:
        name = kube.apply(userId=shopper.user_id, items=MOUSE)
        eventually(lambda: kube.status(name).get("phase") == "Reserving")
        kube.patch(name, {"spec": {"cancelRequested": True}})
        eventually(lambda: kube.status(name).get("phase") == "Compensating", 60)
    finally:
        platform.stack.start("inventory")
        platform.stack.wait_ready("inventory", timeout=60)
    assert eventually(lambda: kube.finished(name), 60)["step"] == "Reserve"
    assert kube.reason(name) == "Cancelled"
    assert bought(shopper) == 0


def test_cancel_of_what_is_paid(kube, shopper, eventually, bought) -> None:
    """What is bought stays bought."""
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.finished(name))
    kube.patch(name, {"spec": {"cancelRequested": True}})
    eventually(lambda: kube.status(name).get("observedGeneration") == 2, 40)
    assert kube.status(name)["phase"] == "Completed"
    assert bought(shopper) == 1


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
    kube.patch(name, {"status": {"phase": "Failed", "orderId": "stolen", "sagaVersion": 1000}}, "/status")
    eventually(lambda: kube.status(name) == status, 40)


def test_finished_ones_go(kube, shopper, eventually) -> None:
    """A resource is deleted ttlSecondsAfterFinished after its end, and may be deleted sooner than was asked at first."""
    name = kube.apply(userId=shopper.user_id, items=MOUSE, ttlSecondsAfterFinished=1)
    kept = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.finished(kept))
    eventually(lambda: kube.get(name) is None, 20)
    kube.patch(kept, {"spec": {"ttlSecondsAfterFinished": 0}})
    eventually(lambda: kube.get(kept) is None, 20)


def test_by_rest(kube, platform, shopper, eventually, bought) -> None:
    """A checkout made by REST is shown as a mirror, and is not started again."""
    shopper.add(2, 1)
    platform.bank("hang", shopper.user_id, times=3)
    checkout_id = shopper.buy("mirrored").json()["checkout_id"]
    mirror = eventually(lambda: kube.get(f"co-{checkout_id}"))
    assert mirror["spec"]["managedBy"] == "mirror"
    assert eventually(lambda: kube.finished(f"co-{checkout_id}"), 60)["checkoutId"] == checkout_id
    assert bought(shopper) == 1
    rows = platform.sql("SELECT origin FROM checkout_sessions WHERE user_id = $1", shopper.user_id)
    assert rows == [{"origin": "rest"}]


def test_the_cap_of_mirrors(kube, platform, eventually) -> None:
    """No more checkouts of REST are shown than the cap allows; those left out are counted, and complete."""
    stack = platform.stack
    stack.stop("operator")
    stack.start("operator", {"MIRROR_MAX_OBJECTS": "2"})
    try:
        stack.wait_ready("operator", timeout=60)
        eventually(lambda: kube.mirrors() <= 2, 60)
        buyers = [platform.shopper() for _ in range(4)]
        for buyer in buyers:
            buyer.add(2, 1)
            platform.bank("hang", buyer.user_id)
        for buyer in buyers:
            assert buyer.buy("capped").status_code == 202
        eventually(lambda: platform.metric("operator", 'checkout_mirror_skipped_total{reason="objects"}') > 0)
        assert kube.mirrors() <= 2
        for buyer in buyers:
            platform.bank("approve", buyer.user_id)
        for buyer in buyers:
            eventually(buyer.orders, 60)
        assert kube.mirrors() <= 2
    finally:
        stack.stop("operator")
        stack.start("operator", {})
        stack.wait_ready("operator", timeout=60)


def test_a_hundred_at_once(kube, platform, eventually) -> None:
    """A hundred resources become a hundred purchases, with at most five writes to the API server each."""
    before = kube.writes()
    buyers = [platform.shopper() for _ in range(100)]
    names = [kube.apply(userId=one.user_id, items=MOUSE, ttlSecondsAfterFinished=5) for one in buyers]
    eventually(lambda: not any(kube.get(name) for name in names), 90)
    ids = [one.user_id for one in buyers]
    rows = platform.sql(
        "SELECT user_id FROM transactions WHERE user_id = ANY($1) AND state = 'CAPTURED'", ids, bank=True
    )
    assert sorted(row["user_id"] for row in rows) == ids
    assert kube.writes() - before <= 5 * len(names)


def test_the_operator_is_killed(kube, platform, shopper, restart, eventually, bought) -> None:
    """Killed while a checkout runs, and while another is applied, it shows both when it is back."""
    platform.bank("hang", shopper.user_id, times=2)
    first = kube.apply(userId=shopper.user_id, items=MOUSE)
    second = kube.apply(userId=shopper.user_id, items=MOUSE)
    restart()
    for name in (first, second):
        assert eventually(lambda name=name: kube.finished(name), 60)["phase"] == "Completed"
    assert bought(shopper) == 2


def test_two_operators(kube, platform, shopper, eventually, bought) -> None:
    """Two operators at once start and show each checkout once."""
    env = {"KUBECONFIG": str(kube.home.operator_kubeconfig), "CHECKOUT_ADDR": platform.urls["CHECKOUT_ADDR"]}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env |= {"NAMESPACE": "default", "HTTP_PORT": str(port), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}
    command = [sys.executable, "-m", "checkout_operator.main"]
    with subprocess.Popen(
        command, env=user_environment() | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as rival:
        try:
            eventually(lambda: requests.get(f"http://127.0.0.1:{port}/ready", timeout=5).ok)
            names = [kube.apply(userId=shopper.user_id, items=MOUSE) for _ in range(10)]
            for name in names:
                assert eventually(lambda name=name: kube.finished(name), 60)["phase"] == "Completed"
            assert rival.poll() is None
        finally:
            rival.terminate()
    assert rival.returncode == 0
    assert bought(shopper) == 10


def test_without_the_api_server(kube, platform, shopper, eventually, bought) -> None:
    """While the API server is away REST goes on; what was under way is shown when it is back."""
    platform.bank("hang", shopper.user_id, times=1)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    platform.stack.stop("apiserver")
    try:
        shopper.add(1, 1)
        answer = shopper.buy("meanwhile")
        eventually(lambda: shopper.checkout(answer.json()["checkout_id"])["status"] == "COMPLETED", 60)
    finally:
        platform.stack.start("apiserver")
        platform.stack.wait_ready("apiserver", timeout=60)
    assert eventually(lambda: kube.finished(name), 60)["phase"] == "Completed"
    assert bought(shopper) == 2
