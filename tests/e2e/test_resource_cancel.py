"""Applied checkouts that are cancelled, at every point of their way."""

import pytest

from tests.e2e.outages import away
from tests.kube import MOUSE

pytestmark = pytest.mark.e2e
HOLD = """
CREATE FUNCTION checkout.hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER hold BEFORE UPDATE ON checkout.checkout_sessions FOR EACH ROW
    WHEN (OLD.user_id = {user} AND OLD.step = '{at}' AND NEW.step = '{to}') EXECUTE FUNCTION checkout.hold()"""


@pytest.fixture
def hold(platform):
    """Keep a user's checkouts from taking a step until the end of the test."""

    def hold(shopper, at, to):
        for statement in HOLD.format(user=shopper.user_id, at=at, to=to).split(";\n"):
            platform.sql(statement)

    yield hold
    platform.sql("DROP FUNCTION IF EXISTS checkout.hold CASCADE")


@pytest.fixture
def row(platform, eventually):
    """Give the row of a user's one checkout, once it is as it should be."""
    query = "SELECT id::text, step, version FROM checkout.checkout_sessions WHERE user_id = $1 AND "
    return lambda shopper, condition: eventually(lambda: platform.sql(query + condition, shopper.user_id), 60)[0]


def test_cancel_while_it_is_reserved(kube, platform, shopper, hold, row, eventually) -> None:
    """Cancelled between the reservation and the payment it gives the stock back, and the bank never hears of it."""
    hold(shopper, "CLAIMED", "PAYING")
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    checkout_id = row(shopper, "step = 'CLAIMED'")["id"]
    stock = "SELECT state FROM inventory.reservation WHERE checkout_id::text = $1"
    eventually(lambda: platform.sql(stock, checkout_id) == [{"state": "PINNED"}], 30)
    kube.change(name, {"spec": {"cancelRequested": True}})
    status = eventually(lambda: kube.finished(name), 60)
    assert (status["phase"], status["step"], status["progress"]) == ("Failed", "Reserve", "1/4")
    assert kube.reason(name) == "Cancelled"
    assert platform.sql(stock, checkout_id) == [{"state": "RELEASED"}]
    assert not platform.sql("SELECT 1 FROM transactions WHERE key = $1", checkout_id, bank=True)


def test_cancel_between_the_payment_and_its_confirmation(kube, platform, shopper, row, eventually, bought) -> None:
    """Cancelled once it is paid it is finished: what is paid stays bought, and while it is not confirmed it says so."""
    platform.bank("hang", shopper.user_id)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    with away(platform, "inventory"):
        platform.bank("approve", shopper.user_id)
        row(shopper, "step = 'PAID'")
        kube.change(name, {"spec": {"cancelRequested": True}})
        assert row(shopper, "cancel_requested_at IS NOT NULL")["step"] == "PAID"
        eventually(lambda: kube.status(name).get("phase") == "Confirming")
        assert kube.status(name)["progress"] == "3/4"
    assert eventually(lambda: kube.finished(name), 60)["phase"] == "Completed"
    assert len(eventually(shopper.orders)) == 1
    assert bought(shopper) == 1


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
    with away(platform, "inventory"):
        name = kube.apply(userId=shopper.user_id, items=MOUSE)
        eventually(lambda: kube.status(name).get("phase") == "Reserving")
        kube.change(name, {"spec": {"cancelRequested": True}})
        eventually(lambda: kube.status(name).get("phase") == "Compensating", 60)
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
