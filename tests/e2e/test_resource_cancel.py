"""Applied checkouts that are cancelled, at every point of their way."""

import pytest

from tests.kube import MOUSE

pytestmark = pytest.mark.e2e


def test_cancel_while_paying(kube, platform, shopper, eventually, bought) -> None:
    """A checkout that is cancelled before it is paid gives back what it held, and is not charged."""
    platform.bank("hang", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    kube.change(name, {"spec": {"cancelRequested": True}})
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
    kube.change(second, {"spec": {"cancelRequested": True}})
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
        kube.change(name, {"spec": {"cancelRequested": True}})
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
    kube.change(name, {"spec": {"cancelRequested": True}})
    eventually(lambda: kube.status(name).get("observedGeneration") == 2, 40)
    assert kube.status(name)["phase"] == "Completed"
    assert bought(shopper) == 1
