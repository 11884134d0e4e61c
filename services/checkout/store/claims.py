"""Claims of carts, under the rule that no unit of a cart is bought twice (docs/decisions/0004-the-claim-rule.md)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.chassis import call
from services.chassis.batched_statement import BatchedStatement
from services.checkout.domain import Claim, LostLease, Origin, Purchase, Session, Source, Status, Step
from services.checkout.saga import claimed_records, first_records
from services.checkout.store.rows import (
    CART_FINGERPRINT,
    COLUMNS,
    LEASE_SECONDS,
    Queries,
    cancelled,
    json_of,
    purchase_of,
    session_of,
    stored_lines,
)


@dataclass(frozen=True, slots=True)
class NewClaim:
    """The claim of a REST key, and the request that makes it."""

    claim: Claim
    asked: call.Call


@dataclass(frozen=True, slots=True)
class AcceptedClaim:
    """The claim of a checkout that was accepted before."""

    claim: Claim
    session: Session


class ClaimQueries(Queries):
    """Writes claims, and reads what conflicts with them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._claims: BatchedStatement[NewClaim, Session | None] = BatchedStatement(
            "checkout.claim",
            self._claim_all,
            self._metrics,
            key=lambda one: one.claim.user_id,
            stamp=lambda one: replace(one, asked=call.current()),
            turns=self._turns,
        )
        self._accepted_claims: BatchedStatement[AcceptedClaim, Session | None] = BatchedStatement(
            "checkout.claim_accepted",
            self._claim_accepted_all,
            self._metrics,
            key=lambda one: one.session.id,
            turns=self._turns,
        )

    async def uncleared_purchases(self, user_id: int) -> list[Purchase]:
        """Return the user's purchases of the cart that are not known to be gone from it."""
        rows = await self._db.fetch(
            "SELECT id, snapshot FROM checkout_sessions WHERE user_id = $1 AND source = 'cart'"
            " AND status = 'COMPLETED' AND cart_cleared_version IS NULL",
            user_id,
        )
        return [purchase_of(row) for row in rows]

    async def conflicting(self, user_id: int, cart_version: int) -> list[Session]:
        """Return the checkouts that conflict with a claim at this version of the cart."""
        rows = await self._db.fetch(f"SELECT {COLUMNS} FROM conflicting($1, $2)", user_id, cart_version)  # noqa: S608 - constants
        return [session_of(row) for row in rows]

    async def claim(self, claim: Claim) -> Session | None:
        """Insert the checkout of a REST key under the claim rule; None where something conflicts, or the key exists."""
        return await self._claims(NewClaim(claim, call.current()))

    async def claim_accepted(self, session: Session, claim: Claim) -> Session | None:
        """Bring an accepted checkout to CLAIMED; None where something conflicts. LostLease: another process drives it.

        The claim rule binds only a claim of the cart: what a resource's own items buy is no unit of it.
        """
        claimed = await self._accepted_claims(AcceptedClaim(claim, session))
        if claimed is None and not await self._drives(session):
            raise LostLease(session.id)
        return claimed

    async def _claim_all(self, new: Sequence[NewClaim]) -> list[Session | None]:
        """Insert the checkouts of REST keys, each under the claim rule."""
        steps = first_records(datetime.now(UTC))
        claims = [
            _fields(position, one.claim)
            | {
                "key": one.claim.key,
                "fingerprint": CART_FINGERPRINT.hex(),
                "steps": steps,
                "request_id": one.asked.request_id,
                "traceparent": one.asked.traceparent,
            }
            for position, one in enumerate(new)
        ]
        rows = await self._db.fetch(
            "SELECT * FROM claim_carts($1, $2, $3, $4)",
            json_of(claims),
            self._owner,
            timedelta(seconds=LEASE_SECONDS),
            timedelta(seconds=self._timeout),
        )
        made: list[Session | None] = [None] * len(new)
        for row in rows:
            claim, asked = new[row["ord"]].claim, new[row["ord"]].asked
            made[row["ord"]] = Session(
                id=str(row["id"]),
                user_id=claim.user_id,
                origin=Origin.REST,
                key=claim.key,
                source=Source.CART,
                status=Status.PROCESSING,
                step=Step.CLAIMED,
                lines=claim.lines,
                total_minor=claim.total_minor,
                currency=claim.currency,
                order_id=str(row["order_id"]),
                lease_epoch=1,
                version=1,
                created_at=row["created_at"],
                steps=steps,
                cancel=cancelled(requested=False, late=row["late"]),
                request_id=asked.request_id,
                traceparent=asked.traceparent,
            )
        return made

    async def _claim_accepted_all(self, accepted: Sequence[AcceptedClaim]) -> list[Session | None]:
        """Bring accepted checkouts to CLAIMED, each under the claim rule where it buys the cart."""
        now = datetime.now(UTC)
        records = [claimed_records(one.session.steps, now) for one in accepted]
        claims = [
            _fields(position, one.claim)
            | {"id": one.session.id, "epoch": one.session.lease_epoch, "steps": records[position]}
            for position, one in enumerate(accepted)
        ]
        rows = await self._db.fetch("SELECT * FROM claim_accepted($1)", json_of(claims))
        made: list[Session | None] = [None] * len(accepted)
        for row in rows:
            one = accepted[row["ord"]]
            made[row["ord"]] = replace(
                one.session,
                step=Step.CLAIMED,
                steps=records[row["ord"]],
                lines=one.claim.lines,
                total_minor=one.claim.total_minor,
                currency=one.claim.currency,
                version=row["version"],
                cancel=cancelled(requested=row["requested"], late=row["late"]),
                attempts=0,
                last_error=None,
            )
        return made

    async def _drives(self, session: Session) -> bool:
        rows = await self._db.fetch("SELECT step, lease_epoch FROM checkout_sessions WHERE id = $1", session.id)
        return [(row["step"], row["lease_epoch"]) for row in rows] == [(session.step, session.lease_epoch)]


def _fields(position: int, claim: Claim) -> dict[str, Any]:
    return {
        "ord": position,
        "user_id": claim.user_id,
        "version": claim.cart_version,
        "bought": claim.bought,
        "lines": stored_lines(claim.lines),
        "total": claim.total_minor,
        "currency": claim.currency,
    }
