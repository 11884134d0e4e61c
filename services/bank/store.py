"""The bank's ledger in a database of its own."""

from services.bank.domain import Behaviour, Charge, OtherCharge, State, Transaction, Whom
from services.chassis.postgres import Postgres, Row

_COLUMNS = "key, state, user_id, amount_minor, currency, reference"


class PostgresLedger:
    """Fits the port Ledger."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def decide(self, charge: Charge, state: State) -> Transaction:
        """Insert the transaction, or count another request for the one that is there."""
        rows = await self._db.fetch(
            "INSERT INTO transactions AS t (key, state, user_id, amount_minor, currency)"  # noqa: S608 - constants
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key) DO UPDATE SET requests = t.requests + 1"
            f" RETURNING {_COLUMNS}",
            charge.key,
            state,
            charge.user_id,
            charge.amount_minor,
            charge.currency,
        )
        there = _transaction(rows[0])
        asked = (charge.user_id, charge.amount_minor, charge.currency)
        if there.state is not State.CANCELLED and asked != (there.user_id, there.amount_minor, there.currency):
            raise OtherCharge
        return there

    async def find(self, key: str) -> Transaction | None:
        """Give the transaction of a key."""
        rows = await self._db.fetch(f"SELECT {_COLUMNS} FROM transactions WHERE key = $1", key)  # noqa: S608 - constants
        return _transaction(rows[0]) if rows else None

    async def cancel(self, key: str) -> Transaction:
        """Insert a tombstone where there is nothing."""
        rows = await self._db.fetch(
            "INSERT INTO transactions AS t (key, state, user_id, amount_minor, currency)"  # noqa: S608 - constants
            " VALUES ($1, 'CANCELLED', 0, 0, '') ON CONFLICT (key) DO UPDATE SET requests = t.requests + 1"
            f" RETURNING {_COLUMNS}",
            key,
        )
        return _transaction(rows[0])

    async def told(self, charge: Charge) -> Behaviour | None:
        """Give how to behave, counting one use."""
        for scope in (f"checkout:{charge.key}", f"user:{charge.user_id}", "all"):
            rows = await self._db.fetch(
                "UPDATE behaviours SET times = times - 1 WHERE scope = $1 AND (times IS NULL OR times > 0)"
                " RETURNING behaviour",
                scope,
            )
            if rows:
                return Behaviour(rows[0]["behaviour"])
        return None

    async def tell(self, whom: Whom, behaviour: Behaviour | None, times: int) -> None:
        """Keep how to behave."""
        if behaviour is None:
            await self._db.fetch("DELETE FROM behaviours WHERE scope = $1", whom.scope)
            return
        await self._db.fetch(
            "INSERT INTO behaviours (scope, behaviour, times) VALUES ($1, $2, $3)"
            " ON CONFLICT (scope) DO UPDATE SET behaviour = excluded.behaviour, times = excluded.times",
            whom.scope,
            behaviour,
            times or None,
        )


def _transaction(row: Row) -> Transaction:
    values = dict(row)
    return Transaction(**values | {"state": State(row["state"]), "reference": str(row["reference"])})
