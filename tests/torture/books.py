"""The books of a platform, held against each other: money, orders and stock, as the databases have them."""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Any

import asyncpg

from tests.kube import Kube

SETTLE_SECONDS = 120.0
SHOWN_SECONDS = 40.0  # two full comparisons, and a little


def ask(url: str, query: str, *args: Any) -> list[dict[str, Any]]:
    """Ask a database."""

    async def fetch() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return [dict(row) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def number(url: str, query: str) -> int:
    """Ask a database for one number."""
    return int(next(iter(ask(url, query)[0].values())) or 0)


def in_flight(url: str) -> int:
    """Count the checkouts under way; none is seen while the database is away."""
    try:
        return number(url, "SELECT count(*) FROM checkout.checkout_sessions WHERE status = 'PROCESSING'")
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return 0


def settle(url: str) -> None:
    """Wait until every checkout has ended, every event is out and every order is made."""
    open_work = """
        SELECT (SELECT count(*) FROM checkout.checkout_sessions WHERE status = 'PROCESSING')
             + (SELECT count(*) FROM checkout.outbox_events WHERE processed_at IS NULL)
             + (SELECT count(*) FROM checkout.checkout_sessions s WHERE status = 'COMPLETED'
                AND NOT EXISTS (SELECT 1 FROM orders.orders o WHERE o.checkout_id = s.id::text))"""
    ends_at = time.monotonic() + SETTLE_SECONDS
    while left := number(url, open_work):
        if time.monotonic() > ends_at:
            raise AssertionError(f"{left} pieces of work are still open after {SETTLE_SECONDS:.0f} s")
        time.sleep(0.25)


def shown(kube: Kube, url: str, names: Collection[str]) -> None:
    """Wait until these resources show how their checkouts have ended; AssertionError where one does not."""
    ended = (
        "SELECT status, origin_ref->>'name' AS name FROM checkout.checkout_sessions WHERE origin_ref->>'name' = ANY($1)"
    )
    rows = ask(url, ended, list(names))
    ends_at = time.monotonic() + SHOWN_SECONDS
    while wrong := [row["name"] for row in rows if kube.status(row["name"]).get("phase", "").upper() != row["status"]]:
        if time.monotonic() > ends_at:
            raise AssertionError(f"{len(wrong)} resources do not show how they ended, {wrong[0]} among them")
        time.sleep(0.5)


def judge(urls: Mapping[str, str], answers: Mapping[str, str]) -> dict[str, int]:
    """Hold the books against each other and against what shoppers were told (checkout → status), and give the figures.

    AssertionError where they do not agree.
    """
    shop, bank = urls["POSTGRES_URL"], urls["BANK_POSTGRES_URL"]
    completed = {
        str(row["id"]): row["total_amount"]
        for row in ask(shop, "SELECT id, total_amount FROM checkout.checkout_sessions WHERE status = 'COMPLETED'")
    }
    captured = {
        row["key"]: row["amount_minor"]
        for row in ask(bank, "SELECT key, amount_minor FROM bank.transactions WHERE state = 'CAPTURED'")
    }
    ordered = {row["checkout_id"]: row["total_minor"] for row in ask(shop, "SELECT * FROM orders.orders")}
    assert completed == captured, "captured money is not that of the completed checkouts"
    assert completed == ordered, "orders are not those of the completed checkouts"
    held = "SELECT count(*) FROM inventory.reservation WHERE state IN ('HELD', 'PINNED')"
    assert number(shop, held) == 0, "something is still reserved"
    lines = """SELECT count(*) FROM inventory.stock s WHERE reserved <> 0 OR received <> available + sold OR sold <>
        (SELECT coalesce(sum(quantity), 0) FROM inventory.reservation_line l JOIN inventory.reservation r
         USING (checkout_id) WHERE r.state = 'CONFIRMED' AND l.product_id = s.product_id)"""
    assert number(shop, lines) == 0, "stock is not conserved"
    bought = "SELECT sum((l->>'quantity')::int) FROM checkout.checkout_sessions, jsonb_array_elements(snapshot) l WHERE status = 'COMPLETED'"
    assert number(shop, bought) == number(shop, "SELECT sum(sold) FROM inventory.stock"), (
        "what was sold is not what was bought"
    )
    states = {str(row["id"]): row["status"] for row in ask(shop, "SELECT id, status FROM checkout.checkout_sessions")}
    wrong = [key for key, status in answers.items() if states.get(key) != status]
    assert not wrong, f"{len(wrong)} shoppers were told something else than what holds"
    return {
        "applied as resources": number(
            shop, "SELECT count(*) FROM checkout.checkout_sessions WHERE origin = 'resource' AND status = 'COMPLETED'"
        ),
        "completed": len(completed),
        "failed": sum(status == "FAILED" for status in states.values()),
        "taken over": number(shop, "SELECT count(*) FROM checkout.checkout_sessions WHERE lease_epoch > 1"),
        "resolved from unknown": number(
            shop, "SELECT count(*) FROM payment.payments WHERE attempts > 1 AND state <> 'INTENT'"
        ),
        "deduplicated": number(bank, "SELECT sum(requests - 1) FROM bank.transactions"),
    }
