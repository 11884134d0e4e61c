"""The table of checkouts, in memory and in PostgreSQL: the store of each, and what tests do to rows behind its back."""

import asyncio

from services.chassis.telemetry import Metrics
from services.checkout.store import PostgresSessions
from tests.services.checkout.memory import MemorySessions
from tests.services.checkout.memory_tables import Tables


class MemoryTable:
    """What tests do to rows behind the store's back, and what they look at; in memory."""

    def __init__(self):
        self._tables = Tables()
        self._rows = self._tables.rows

    def sessions(self, owner="me", timeout=300.0):
        """The store as the process `owner` has it."""
        return MemorySessions(self._tables, owner, timeout)

    async def lapse(self, *checkout_ids, due=1.0):
        """The leases ran out, and recovery may try since `due` seconds."""
        now = asyncio.get_running_loop().time()
        for checkout_id in checkout_ids:
            self._rows[checkout_id].lease_until = now - 1
            self._rows[checkout_id].next_attempt_at = now - due

    async def events(self):
        """(checkout id, partition key, order id) of each event."""
        return [(row.session.id, row.key, row.session.order_id) for row in self._tables.events]

    async def error(self, checkout_id):
        """What a row was parked for."""
        return self._rows[checkout_id].error


class PostgresTable:
    """The same, in PostgreSQL."""

    def __init__(self, db):
        self._db = db

    def sessions(self, owner="me", timeout=300.0):
        return PostgresSessions(self._db, Metrics(), owner=owner, timeout=timeout)

    async def lapse(self, *checkout_ids, due=1.0):
        await self._db.fetch(
            "UPDATE checkout_sessions SET lease_until = clock_timestamp() - interval '1 s',"
            " next_attempt_at = clock_timestamp() - make_interval(secs => $2) WHERE id = ANY($1::uuid[])",
            list(checkout_ids),
            due,
        )

    async def events(self):
        rows = await self._db.fetch(
            "SELECT aggregate_id::text, partition_key, payload->>'orderId' FROM outbox_events ORDER BY id"
        )
        return [tuple(row) for row in rows]

    async def error(self, checkout_id):
        rows = await self._db.fetch("SELECT last_error FROM checkout_sessions WHERE id = $1", checkout_id)
        return rows[0]["last_error"]
