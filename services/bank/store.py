"""The bank's ledger in a database of its own."""

from services.bank.domain import Behaviour, Charge, OtherCharge, Scope, State, Transaction, scopes_of
from services.chassis.postgres import Postgres, Row

_COLUMNS = "key, state, user_id, amount_minor, currency, reference"


class PostgresLedger:
    """Fits the port Ledger."""

    def __init__(self, db: Postgres) -> None:
        self._db = db

    async def decide(self, charge: Charge, state: State) -> Transaction:
        """Insert the transaction, or count another request for the one that exists."""
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
        """Return the transaction of a key; None when no charge has arrived."""
        rows = await self._db.fetch(f"SELECT {_COLUMNS} FROM transactions WHERE key = $1", key)  # noqa: S608 - constants
        return _transaction(rows[0]) if rows else None

    async def cancel(self, key: str) -> Transaction:
        """Insert a tombstone where there is no transaction."""
        rows = await self._db.fetch(
            "INSERT INTO transactions AS t (key, state, user_id, amount_minor, currency)"  # noqa: S608 - constants
            " VALUES ($1, 'CANCELLED', 0, 0, '') ON CONFLICT (key) DO UPDATE SET requests = t.requests + 1"
            f" RETURNING {_COLUMNS}",
            key,
        )
        return _transaction(rows[0])

    async def use_behaviour(self, charge: Charge) -> Behaviour | None:
        """Return the behaviour of the narrowest scope, and count one use of it; None when none is set."""
        for scope in scopes_of(charge):
            rows = await self._db.fetch(
                "UPDATE behaviours SET times = times - 1 WHERE scope = $1 AND (times IS NULL OR times > 0)"
                " RETURNING behaviour",
                scope.name,
            )
            if rows:
                return Behaviour(rows[0]["behaviour"])
        return None

    async def set_behaviour(self, scope: Scope, behaviour: Behaviour, times: int | None) -> None:
        """Set the behaviour of a scope for `times` charges; None: until it is reset."""
        await self._db.fetch(
            "INSERT INTO behaviours (scope, behaviour, times) VALUES ($1, $2, $3)"
            " ON CONFLICT (scope) DO UPDATE SET behaviour = excluded.behaviour, times = excluded.times",
            scope.name,
            behaviour,
            times,
        )

    async def reset_behaviour(self, scope: Scope) -> None:
        """Remove the behaviour of a scope."""
        await self._db.fetch("DELETE FROM behaviours WHERE scope = $1", scope.name)


def _transaction(row: Row) -> Transaction:
    values = dict(row)
    return Transaction(**values | {"state": State(row["state"]), "reference": str(row["reference"])})
