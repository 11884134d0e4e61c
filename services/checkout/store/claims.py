"""Claims of carts, under the rule that no unit of a cart is bought twice (docs/decisions/0004-the-claim-rule.md)."""

from datetime import UTC, datetime
from typing import Any

from services.chassis import call
from services.checkout.domain import Claim, LostLease, Purchase, Session
from services.checkout.saga import claimed_records, first_records
from services.checkout.store.rows import (
    CART_FINGERPRINT,
    COLUMNS,
    LEASE_SECONDS,
    Queries,
    json_of,
    lines_of,
    session_of,
)

# A checkout of the same cart ($1) conflicts with a claim at a version ($2) unless it has failed, or its lines are known
# to be gone from the cart at that version.
_CONFLICTING = """user_id = $1 AND source = 'cart' AND step <> 'ACCEPTED' AND status <> 'FAILED'
    AND (cart_cleared_version IS NULL OR cart_cleared_version > $2)"""

_CLAIM = f"""
INSERT INTO checkout_sessions (user_id, origin, idempotency_key, fingerprint, source, step, steps, snapshot, cart_version,
    total_amount, currency, lease_owner, lease_until, request_id, traceparent, cancel_after)
SELECT $1, 'rest', $3, $4, 'cart', 'CLAIMED', $5, $6, $2, $7, $8, $9,
    clock_timestamp() + make_interval(secs => $10), $11, $12, clock_timestamp() + make_interval(secs => $13)
WHERE NOT EXISTS (SELECT 1 FROM checkout_sessions WHERE {_CONFLICTING})
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}"""  # noqa: S608 - constants

_CLAIM_ACCEPTED = f"""
UPDATE checkout_sessions SET step = 'CLAIMED', steps = $4, snapshot = $5, cart_version = $2, total_amount = $6,
    currency = $7, version = version + 1, changed_at = clock_timestamp(), attempts = 0, last_error = NULL
WHERE id = $3 AND step = 'ACCEPTED' AND status = 'PROCESSING' AND lease_epoch = $8
    AND ($2::bigint IS NULL OR NOT EXISTS (SELECT 1 FROM checkout_sessions WHERE {_CONFLICTING}))
RETURNING {COLUMNS}"""  # noqa: S608 - constants


class ClaimQueries(Queries):
    """Writes claims, and reads what conflicts with them."""

    async def uncleared_purchases(self, user_id: int) -> list[Purchase]:
        """Return the user's purchases of the cart that are not known to be gone from it."""
        rows = await self._db.fetch(
            "SELECT id, snapshot FROM checkout_sessions WHERE user_id = $1 AND source = 'cart'"
            " AND status = 'COMPLETED' AND cart_cleared_version IS NULL",
            user_id,
        )
        return [
            Purchase(str(row["id"]), tuple((line.line_id, line.quantity) for line in lines_of(row["snapshot"])))
            for row in rows
        ]

    async def conflicting(self, user_id: int, cart_version: int) -> list[Session]:
        """Return the checkouts that conflict with a claim at this version of the cart."""
        rows = await self._db.fetch(
            f"SELECT {COLUMNS} FROM checkout_sessions WHERE {_CONFLICTING}",  # noqa: S608 - constants
            user_id,
            cart_version,
        )
        return [session_of(row) for row in rows]

    async def claim(self, claim: Claim) -> Session | None:
        """Insert the checkout of a REST key under the claim rule; None where something conflicts, or the key exists.

        The lock, the note of what is gone and the insert are statements of their own: each must see what was committed
        before it began.
        """
        now = call.current()
        async with self._db.transaction() as connection:
            await _lock_cart(connection, claim)
            row = await connection.fetchrow(
                _CLAIM,
                claim.user_id,
                claim.cart_version,
                claim.key,
                CART_FINGERPRINT,
                json_of(first_records(datetime.now(UTC))),
                json_of(claim.lines),
                claim.total_minor,
                claim.currency,
                self._owner,
                LEASE_SECONDS,
                now.request_id,
                now.traceparent,
                self._timeout,
            )
        return session_of(row) if row else None

    async def claim_accepted(self, session: Session, claim: Claim) -> Session | None:
        """Bring an accepted checkout to CLAIMED; None where something conflicts. LostLease: another process drives it.

        The claim rule binds only a claim of the cart: what a resource's own items buy is no unit of it.
        """
        async with self._db.transaction() as connection:
            await _lock_cart(connection, claim)
            row = await connection.fetchrow(
                _CLAIM_ACCEPTED,
                claim.user_id,
                claim.cart_version,
                session.id,
                json_of(claimed_records(session.steps, datetime.now(UTC))),
                json_of(claim.lines),
                claim.total_minor,
                claim.currency,
                session.lease_epoch,
            )
        if row is None and not await self._drives(session):
            raise LostLease(session.id)
        return session_of(row) if row else None

    async def _drives(self, session: Session) -> bool:
        rows = await self._db.fetch("SELECT step, lease_epoch FROM checkout_sessions WHERE id = $1", session.id)
        return [(row["step"], row["lease_epoch"]) for row in rows] == [(session.step, session.lease_epoch)]


async def _lock_cart(connection: Any, claim: Claim) -> None:
    """Let nobody else claim this user's cart until the transaction ends, and note which purchases are gone from it."""
    if claim.cart_version is None:
        return
    await connection.execute("SELECT pg_advisory_xact_lock($1)", claim.user_id)
    if claim.bought:
        await connection.execute(
            "UPDATE checkout_sessions SET cart_cleared_version = $2"
            " WHERE id = ANY($1::uuid[]) AND cart_cleared_version IS NULL AND status = 'COMPLETED'",
            list(claim.bought),
            claim.cart_version,
        )
