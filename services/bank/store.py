"""The bank's ledger in a database of its own. Charges that come together share a round trip and a commit."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.bank.domain import Behaviour, Charge, Decision, OtherCharge, Scope, State, Transaction
from services.chassis.batched_statement import BatchedStatement
from services.chassis.longest_first import LongestFirst
from services.chassis.postgres import Postgres, Row
from services.chassis.telemetry import Metrics

_COLUMNS = "key, state, user_id, amount_minor, currency, reference"


@dataclass(frozen=True, slots=True)
class _Request:
    """A charge, the state that it gets where no behaviour is set, and whether a behaviour is followed."""

    charge: Charge
    drawn: State
    follow: bool


class PostgresLedger:
    """Fits the port Ledger."""

    def __init__(self, db: Postgres, metrics: Metrics) -> None:
        self._db = db
        # A queue of one: charges come one a call, and those that come while a statement commits share the next commit. One that
        # hangs holds up the others for a moment only, which a bound of one under way would not give.
        self._charges: BatchedStatement[_Request, Decision] = BatchedStatement(
            "bank.charge", self._charge_all, metrics, key=lambda request: request.charge.key, turns=LongestFirst()
        )

    async def charge(self, charge: Charge, drawn: State, *, follow: bool) -> Decision:
        """Decide a charge as its behaviour says, or count another request for the transaction that exists."""
        return await self._charges(_Request(charge, drawn, follow))

    async def _charge_all(self, requests: Sequence[_Request]) -> list[Decision | Exception]:
        charges = [request.charge for request in requests]
        rows = await self._db.fetch(
            "SELECT * FROM charge($1, $2, $3, $4, $5, $6) ORDER BY ord",
            [charge.key for charge in charges],
            [charge.user_id for charge in charges],
            [charge.amount_minor for charge in charges],
            [charge.currency for charge in charges],
            [request.drawn for request in requests],
            any(request.follow for request in requests),
        )
        return [_decision(row, charge) for row, charge in zip(rows, charges, strict=True)]

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


def _decision(row: Row, charge: Charge) -> Decision | OtherCharge:
    behaviour = Behaviour(row["behaviour"]) if row["behaviour"] else None
    if row["state"] is None:
        return Decision(None, behaviour)
    there = _transaction(row)
    asked = (charge.user_id, charge.amount_minor, charge.currency)
    if there.state is not State.CANCELLED and asked != (there.user_id, there.amount_minor, there.currency):
        return OtherCharge()
    return Decision(there, behaviour)


def _transaction(row: Row) -> Transaction:
    return Transaction(
        row["key"], State(row["state"]), row["user_id"], row["amount_minor"], row["currency"], str(row["reference"])
    )
