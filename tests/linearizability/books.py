"""The books of a platform, as its databases have them."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import asyncpg

SETTLE_SECONDS = 120.0
_OPEN = """
SELECT (SELECT count(*) FROM checkout.checkout_sessions WHERE status = 'PROCESSING')
     + (SELECT count(*) FROM checkout.outbox_events WHERE processed_at IS NULL)
     + (SELECT count(*) FROM checkout.checkout_sessions s WHERE status = 'COMPLETED'
        AND NOT EXISTS (SELECT 1 FROM orders.orders o WHERE o.checkout_id = s.id::text)) AS open"""


def ask(url: str, query: str, *args: Any) -> list[dict[str, Any]]:
    """Return the rows of a query."""

    async def fetch() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return [dict(row) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def settle(url: str) -> None:
    """Wait until every checkout has ended, every event is published and every order is made."""
    ends_at = time.monotonic() + SETTLE_SECONDS
    while left := ask(url, _OPEN)[0]["open"]:
        assert time.monotonic() < ends_at, f"{left} pieces of work are still open after {SETTLE_SECONDS:.0f} s"
        time.sleep(0.25)


def differences(urls: Mapping[str, str], users: Collection[int], known: Collection[str]) -> list[str]:
    """Return what is wrong: each completed checkout of the users has one order and one captured payment, and no other has one.

    `known` are the checkouts that shoppers were told of: none has completed that nobody was told of.
    """
    shop, bank = urls["POSTGRES_URL"], urls["BANK_POSTGRES_URL"]
    sessions = "SELECT id::text FROM checkout.checkout_sessions WHERE user_id = ANY($1) AND status = 'COMPLETED'"
    orders = "SELECT checkout_id AS id FROM orders.orders WHERE user_id = ANY($1)"
    charges = "SELECT key AS id FROM bank.transactions WHERE user_id = ANY($1) AND state = 'CAPTURED'"
    completed = {row["id"] for row in ask(shop, sessions, list(users))}
    wrong = [
        f"the {what} are not those of the completed checkouts: {sorted((Counter(found) - Counter(completed)) + (Counter(completed) - Counter(found)))}"
        for what, found in (
            ("orders", [row["id"] for row in ask(shop, orders, list(users))]),
            ("captured payments", [row["id"] for row in ask(bank, charges, list(users))]),
        )
        if Counter(found) != Counter(completed)
    ]
    if untold := completed - set(known):
        wrong.append(f"completed, though nobody was told of them: {sorted(untold)}")
    return wrong
