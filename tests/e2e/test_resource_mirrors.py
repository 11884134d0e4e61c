"""Checkouts made by REST, shown as mirrors."""

import secrets
import uuid

import pytest

from tests.e2e.outages import with_settings
from tests.platforms import Shopper

pytestmark = pytest.mark.e2e


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


def test_the_largest_user(kube, platform, eventually) -> None:
    """A checkout of the user with the largest id has a mirror with that id to the digit."""
    shopper = Shopper(platform.urls["CARTWRIGHT_URL"], 2**63 - 1)
    for product in (2, 3):
        shopper.ask("DELETE", f"/api/v1/cart/items/{product}")  # what an earlier run left
    shopper.add(2, 1)
    platform.bank("hang", shopper.user_id, times=3)
    mirror = f"co-{shopper.buy(secrets.token_hex(8)).json()['checkout_id']}"
    assert eventually(lambda: kube.get(mirror))["spec"]["userId"] == shopper.user_id
    assert eventually(lambda: kube.finished(mirror), 60)["phase"] == "Completed"


def test_a_mirror_of_nothing(kube, eventually) -> None:
    """A mirror that somebody made of no checkout is never started, loses a forged status, and is deleted in its time."""
    name = f"co-{uuid.uuid4()}"
    spec = {"userId": 1, "managedBy": "mirror", "checkoutId": name[3:], "ttlSecondsAfterFinished": 60}
    assert kube.create(spec, name).status_code == 201
    kube.change(name, {"status": {"phase": "Completed", "orderId": "forged"}}, "/status")
    eventually(lambda: not kube.status(name), 40)
    kube.change(name, {"spec": {"ttlSecondsAfterFinished": 0}})
    eventually(lambda: kube.get(name) is None, 40)


@pytest.mark.local
def test_the_cap_of_mirrors(kube, platform, eventually) -> None:
    """No more checkouts of REST are shown than the cap allows; those left out are counted, and complete."""
    env = {"MIRROR_MAX_OBJECTS": "2", "MIRROR_SUCCESS_TTL": "1", "MIRROR_FAILURE_TTL": "1"}
    with with_settings(platform, "operator", **env):
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
