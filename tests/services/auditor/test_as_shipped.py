"""The auditor with the settings that are shipped. Its test takes longer than a minute: `make notice`."""

import time
import uuid

import pytest

from tests.kube import MOUSE
from tests.services.auditor.audits import WITHIN, Audit, restart

pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(300)]
AFTER = 30  # seconds: how old a difference must be before it counts
MADE_UP = """INSERT INTO orders.orders SELECT gen_random_uuid(), $1, user_id, total_minor, currency, status, lines,
    created_at - interval '1 hour' FROM orders.orders WHERE checkout_id = $2"""


def test_whatever_was_changed_is_noticed_within_a_minute(platform, shopper, bought, kube, eventually):
    """Each of three changes is noticed within 60 s from when it counts, with the settings that are shipped.

    They are a payment of a purchase of just now, an order of an hour ago that was made up, and a resource whose status is gone.
    """
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.finished(name))
    restart(platform, {})
    audit, made_up = Audit(platform), str(uuid.uuid4())
    payment = "UPDATE payment.payments SET state = $2 WHERE checkout_id = $1"
    platform.stack.stop("operator")
    try:
        platform.sql(payment, bought, "DECLINED")
        platform.sql(MADE_UP, made_up, bought)
        kube.change(name, {"status": None}, "/status")
        began = time.monotonic()
        for due, kind, facts in (
            (0, "orders", {"checkout_id": made_up}),
            (AFTER, "money", {"checkout_id": bought}),
            (AFTER, "resources", {"name": f"default/{name}"}),
        ):
            ends_at = began + due + WITHIN
            eventually(lambda kind=kind, facts=facts: audit.differs(kind, **facts), ends_at - time.monotonic())
    finally:
        platform.sql(payment, bought, "CAPTURED")
        platform.sql("DELETE FROM orders.orders WHERE checkout_id = $1", made_up)
        platform.stack.start("operator")
        platform.stack.wait_ready("operator", timeout=60)
