"""Reads the bank's ledger, which is in a database of its own. A payment provider that is not ours has no such book."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.auditor.books import Book, Transaction
from services.auditor.reading import reading
from services.chassis.postgres import Postgres
from services.errors import Fault


class Bank:
    """Fits the port BankBook."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def transactions(self, keys: Sequence[str], now: datetime) -> dict[str, Transaction]:
        """Return the transactions that exist, by key; their times are turned into those of the clock that says `now`."""
        with reading(Book.BANK, Fault, asyncpg.PostgresError):
            rows = await self._db.fetch(
                "SELECT key, user_id, amount_minor, currency, state, clock_timestamp() - decided_at AS age"
                " FROM bank.transactions WHERE key = ANY ($1::text[])",
                list(keys),
            )
        return {
            row["key"]: Transaction(
                row["key"], row["user_id"], row["amount_minor"], row["currency"], row["state"], now - row["age"]
            )
            for row in rows
        }

    async def page(self, after: str, most: int) -> list[str]:
        """Return up to `most` keys that come after this one."""
        with reading(Book.BANK, Fault, asyncpg.PostgresError):
            rows = await self._db.fetch(
                "SELECT key FROM bank.transactions WHERE key > $1 ORDER BY key LIMIT $2", after, most
            )
        return [row["key"] for row in rows]
