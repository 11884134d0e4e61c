"""The books of a platform, as its databases have them."""

from collections import Counter
from collections.abc import Collection, Mapping

from tests.torture.books import ask


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
