"""No more is bought than was asked for, whatever is applied again, beside, or under the same key."""

import pytest

from tests.kube import MOUSE

pytestmark = pytest.mark.e2e


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


def test_created_again(kube, shopper, eventually, bought) -> None:
    """The same manifest created again after its deletion shows the same purchase with a key, and buys again without one."""
    for key, purchases in ({"idempotencyKey": "from-git"}, 1), ({}, 3):
        shown = []
        for _ in range(2):
            name = kube.apply(userId=shopper.user_id, items=MOUSE, **key)
            shown.append(eventually(lambda name=name: kube.finished(name))["orderId"])
            kube.delete(name)
        assert len(set(shown)) == (1 if key else 2)
        assert bought(shopper) == purchases


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
