"""The auditor on a running platform: quiet while everything runs, and soon aware of any book that somebody changes by hand."""

import json
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager

import pytest
import redis
from pymongo import MongoClient

from devstack.home import ROOT, user_environment
from tests.kube import MOUSE
from tests.services.auditor.audits import WITHIN, Audit, restart

pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(300)]  # it sets the auditor's own process

QUICK = {"AUDIT_EVERY": "300ms", "AUDIT_AFTER": "1s", "AUDIT_FULL_EVERY": "300ms", "AUDIT_SHARE": "0.5"}
PATIENT = QUICK | {"AUDIT_AFTER": "5s"}
"""For what must stay quiet: on a busy machine an event may take longer than a second."""


@pytest.fixture(scope="module", name="quick")
def quick_fixture(platform):
    """Have the auditor look often, and take little for certain."""
    restart(platform, QUICK)
    yield
    restart(platform, {})


@pytest.fixture(name="audit")
def audit_fixture(platform, quick):
    """Give the auditor as it goes on from here."""
    return Audit(platform)


@pytest.fixture(name="noticed")
def noticed_fixture(platform, audit, eventually):
    """Give what changes a book by hand, waits for the auditor to say so, puts it right, and waits for it to say that too."""

    @contextmanager
    def changed(do, undo):
        try:
            platform.sql(do[0], *do[1:])
            yield
        finally:
            platform.sql(undo[0], *undo[1:])

    def noticed(kind, do, undo, **facts):
        with changed(do, undo):
            (found, *_) = eventually(lambda: audit.differs(kind, **facts), WITHIN)
        eventually(lambda: audit.lines("the books agree again", kind=kind, **facts), WITHIN)
        return found

    return noticed


def test_it_is_quiet_while_everything_runs(platform, kube, eventually):
    """While shoppers buy at once, are declined, and lose the bank's replies, and resources buy, no difference counts."""
    restart(platform, PATIENT)
    audit = Audit(platform)
    shoppers = [platform.shopper() for _ in range(8)]
    platform.bank("decline", shoppers[0].user_id)
    platform.bank("drop", shoppers[1].user_id, times=1)
    compared = audit.metric('cartwright_audit_compared_total{kind="money"}')

    def shop(one):
        for key in range(6):
            one.add(1 + key % 5, 2)
            one.buy(f"{key}")

    threads = [threading.Thread(target=shop, args=[one]) for one in shoppers]
    for thread in threads:
        thread.start()
    names = [kube.apply(userId=one.user_id, items=MOUSE) for one in shoppers[2:]]
    for thread in threads:
        thread.join()
    for name in names:
        eventually(lambda name=name: kube.finished(name))
    users = [one.user_id for one in shoppers]
    running = "SELECT count(*) AS n FROM checkout_sessions WHERE status = 'PROCESSING' AND user_id = ANY ($1)"
    eventually(lambda: platform.sql(running, users)[0]["n"] == 0, 60)
    last = audit.metric("cartwright_audit_full_pass_timestamp_seconds")
    # Two whole passes later, and so long after the last purchase that each must be in all books.
    eventually(lambda: audit.metric("cartwright_audit_full_pass_timestamp_seconds") > last + 6, 60)
    assert audit.metric('cartwright_audit_compared_total{kind="money"}') > compared + 40
    named = {str(one) for one in users}
    assert [
        one for one in audit.lines("the books differ") if one.get("user_id") in named or one["kind"] == "stock"
    ] == []
    assert audit.metric("cartwright_audit_book_compared") == 11  # all of them


def test_a_changed_checkout_is_noticed(noticed, bought):
    """A total that somebody changed is not the money captured; the line names the checkout and the command of its story."""
    sql = "UPDATE checkout_sessions SET total_amount = total_amount + $2::int WHERE id = $1::text::uuid"
    found = noticed("money", [sql, bought, 1], [sql, bought, -1], checkout_id=bought)
    assert found["command"] == f"make story CHECKOUT={bought}"
    assert (found["level"], found["age"] >= 1) == ("error", True)


def test_a_changed_payment_is_noticed(noticed, bought):
    """A payment that is not captured any more is missing for its completed checkout."""
    sql = "UPDATE payment.payments SET state = $2 WHERE checkout_id = $1"
    noticed("money", [sql, bought, "DECLINED"], [sql, bought, "CAPTURED"], checkout_id=bought)


@pytest.mark.parametrize("state", ["CANCELLED", "CAPTURED"])
def test_a_changed_ledger_of_the_bank_is_noticed(platform, audit, bought, eventually, state):
    """Money that the bank does not have, and money of no checkout, are noticed."""
    other = str(uuid.uuid4())
    if state == "CANCELLED":
        platform.sql("UPDATE transactions SET state = 'CANCELLED' WHERE key = $1", bought, bank=True)
    else:
        platform.sql("INSERT INTO transactions VALUES ($1, 'CAPTURED', 7, 100, 'USD')", other, bank=True)
    try:
        wanted = bought if state == "CANCELLED" else other
        eventually(lambda: audit.differs("money", checkout_id=wanted), WITHIN)
    finally:
        platform.sql("UPDATE transactions SET state = 'CAPTURED' WHERE key = $1", bought, bank=True)
        platform.sql("DELETE FROM transactions WHERE key = $1", other, bank=True)
    eventually(lambda: audit.lines("the books agree again", checkout_id=wanted), WITHIN)


def test_a_lost_order_is_noticed(platform, noticed, bought):
    """A completed checkout whose order somebody deleted is noticed."""
    (row,) = platform.sql("SELECT to_jsonb(o)::text AS kept FROM orders.orders o WHERE checkout_id = $1", bought)
    delete = ["DELETE FROM orders.orders WHERE checkout_id = $1", bought]
    insert = [
        "INSERT INTO orders.orders SELECT * FROM jsonb_populate_record(NULL::orders.orders, $1::jsonb)",
        row["kept"],
    ]
    noticed("orders", delete, insert, checkout_id=bought)


def test_one_audit_by_hand_names_what_differs(platform, bought):
    """`make audit` shows what was compared and what differs, with the command of its story, and exits with 1. What is mended is not named."""

    def audit():
        env = user_environment() | {
            "DEVSTACK_HOME": str(platform.stack.home.path),
            "AUDIT_AFTER": "1s",
            "COLUMNS": "140",
        }
        done = subprocess.run(
            [sys.executable, "-m", "devstack", "audit"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, f"make story CHECKOUT={bought}" in done.stdout

    sql = "UPDATE orders.orders SET total_minor = total_minor + $2::int WHERE checkout_id = $1"
    platform.sql(sql, bought, 1)
    try:
        code, shown, is_named = audit()
    finally:
        platform.sql(sql, bought, -1)
    assert (code, is_named) == (1, True), shown
    assert "stock, with the reservations and deliveries" in shown
    code, shown, is_named = audit()
    assert not is_named, shown


def test_a_made_up_order_is_noticed(noticed, bought):
    """An order of no checkout is noticed."""
    other = str(uuid.uuid4())
    insert = (
        "INSERT INTO orders.orders SELECT gen_random_uuid(), $1, user_id, total_minor, currency, status, lines, created_at"
        " FROM orders.orders WHERE checkout_id = $2"
    )
    noticed(
        "orders",
        [insert, other, bought],
        ["DELETE FROM orders.orders WHERE checkout_id = $1", other],
        checkout_id=other,
    )


def test_a_reservation_without_its_saga_is_noticed(platform, noticed, bought):
    """Stock that is held for a checkout that has ended is noticed, and so is that the sums of the stock are off."""
    sql = "UPDATE inventory.reservation SET state = $2 WHERE checkout_id = $1"
    noticed("reservations", [sql, bought, "PINNED"], [sql, bought, "CONFIRMED"], checkout_id=bought)


def test_changed_stock_is_noticed(noticed):
    """Pieces that were moved from free to sold without a sale are noticed, whichever product it is."""
    sql = "UPDATE inventory.stock SET sold = sold + $1::int, available = available - $1::int WHERE product_id = 4"
    noticed("stock", [sql, 1], [sql, -1], product_id="4")


def test_stock_that_came_from_nowhere_is_noticed(noticed):
    """Pieces that appear without a delivery are noticed, although the row agrees with itself."""
    sql = (
        "UPDATE inventory.stock SET received = received + $1::int, available = available + $1::int WHERE product_id = 5"
    )
    noticed("stock", [sql, 1], [sql, -1], product_id="5")


def test_a_lost_event_is_noticed(platform, noticed, bought):
    """A completed checkout whose event somebody deleted from the outbox is noticed."""
    kept = "SELECT to_jsonb(e)::text AS kept FROM checkout.outbox_events e WHERE aggregate_id = $1::text::uuid"
    (row,) = platform.sql(kept, bought)
    delete = ["DELETE FROM checkout.outbox_events WHERE aggregate_id = $1::text::uuid", bought]
    insert = (
        "INSERT INTO checkout.outbox_events OVERRIDING SYSTEM VALUE"
        " SELECT * FROM jsonb_populate_record(NULL::checkout.outbox_events, $1::jsonb)"
    )
    noticed("outbox", delete, [insert, row["kept"]], checkout_id=bought)


def test_an_event_that_the_topic_does_not_have_is_noticed(platform, noticed, bought):
    """An event that is marked as published and that the topic does not have is noticed."""
    (row,) = platform.sql("SELECT event_id FROM checkout.outbox_events WHERE aggregate_id = $1::text::uuid", bought)
    sql = "UPDATE checkout.outbox_events SET event_id = $2 WHERE aggregate_id = $1::text::uuid"
    found = noticed("outbox", [sql, bought, uuid.uuid4()], [sql, bought, row["event_id"]], checkout_id=bought)
    assert "topic" in found["what"]


def test_what_was_bought_and_is_in_the_cart_is_noticed(platform, audit, shopper, bought, eventually):
    """A line that was bought and that somebody puts back into the cart is noticed."""
    (row,) = platform.sql("SELECT snapshot::text AS lines FROM checkout_sessions WHERE id = $1::text::uuid", bought)
    (line,) = json.loads(row["lines"])
    back = {"line_id": line["line_id"], "product_id": line["product_id"], "quantity": 3, "bought": [], "name": "Mouse"}
    with MongoClient(platform.urls["MONGODB_URL"]) as client:
        carts = client["cartdb"]["carts"]
        carts.update_one({"user_id": shopper.user_id}, {"$set": {"lines": [back]}})
        try:
            eventually(lambda: audit.differs("carts", checkout_id=bought), WITHIN)
        finally:
            carts.update_one({"user_id": shopper.user_id}, {"$set": {"lines": []}})
    eventually(lambda: audit.lines("the books agree again", kind="carts", checkout_id=bought), WITHIN)


def test_a_changed_cache_is_noticed(platform, audit, shopper, eventually):
    """A cached cart that is older than its document is noticed, while readers may still be shown it."""
    shopper.add(3, 1)
    key = f"cart:{shopper.user_id}"
    value = json.dumps({"user_id": shopper.user_id, "version": 0, "cart_id": "", "lines": []})
    with redis.Redis.from_url(platform.urls["REDIS_URL"]) as client:
        client.set(key, value, px=300_000)
        try:
            eventually(lambda: audit.differs("cache", user_id=str(shopper.user_id)), WITHIN)
        finally:
            client.delete(key)
    eventually(lambda: audit.lines("the books agree again", kind="cache", user_id=str(shopper.user_id)), WITHIN)


def test_a_resource_that_shows_something_else_is_noticed(platform, audit, shopper, kube, eventually):
    """A Checkout whose status somebody changed is noticed, where the operator does not put it right itself."""
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.finished(name))
    platform.stack.stop("operator")
    try:
        kube.change(name, {"status": {"phase": "Failed"}}, "/status")
        (found, *_) = eventually(lambda: audit.differs("resources", name=f"default/{name}"), WITHIN)
        assert found["checkout_id"] == kube.status(name)["checkoutId"]
        kube.change(name, {"status": {"phase": "Completed"}}, "/status")
        eventually(lambda: audit.lines("the books agree again", kind="resources", name=f"default/{name}"), WITHIN)
    finally:
        platform.stack.start("operator")
        platform.stack.wait_ready("operator", timeout=60)


def test_a_resource_whose_status_is_wiped_is_noticed(platform, audit, shopper, kube, eventually):
    """A Checkout whose status somebody took away shows its end no more, which is noticed by what it asked for."""
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    shown = eventually(lambda: kube.finished(name))
    platform.stack.stop("operator")
    try:
        kube.change(name, {"status": None}, "/status")
        assert not kube.status(name)
        (found, *_) = eventually(lambda: audit.differs("resources", name=f"default/{name}"), WITHIN)
        assert found["checkout_id"] == shown["checkoutId"]
    finally:
        platform.stack.start("operator")
        platform.stack.wait_ready("operator", timeout=60)
    eventually(lambda: audit.lines("the books agree again", kind="resources", name=f"default/{name}"), WITHIN)
