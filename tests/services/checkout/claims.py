"""Claims to store, and the moves that bring a checkout from its claim to its end."""

import uuid
from datetime import UTC, datetime

from services.checkout.domain import Claim, Line, Origin, Reason, Session, Status, Step
from services.checkout.saga import Move, apply, first_records

LINES = (Line("l1", 1, "Laptop", 129999, 2), Line("l2", 2, "Mouse", 2999, 1))


def make_session(claim, new_id=lambda: str(uuid.uuid4()), now=None):
    """The session that a claim becomes."""
    now = now or datetime.now(UTC)
    return Session(
        id=new_id(),
        user_id=claim.user_id,
        origin=Origin.REST,
        key=claim.key,
        status=Status.PROCESSING,
        step=Step.CLAIMED,
        lines=claim.lines,
        total_minor=claim.total_minor,
        currency=claim.currency,
        order_id=new_id(),
        lease_epoch=1,
        version=1,
        created_at=now,
        steps=first_records(now),
    )


def make_claim(user, key="k", version=1, bought=(), lines=LINES):
    """A claim of a laptop twice and a mouse."""
    return Claim(user, key, lines, "USD", version, tuple(bought))


WAYS = {
    Step.COMPLETED: (Step.RESERVED, Step.PAYING, Step.PAID, Step.COMPLETED),
    Step.FAILED: (Step.RELEASING, Step.FAILED),
}


async def bring(sessions, session, to):
    """Move a checkout step by step until it has ended as `to`."""
    for step in WAYS[to]:
        reason = Reason.PAYMENT_DECLINED if step is Step.RELEASING else None
        session = await sessions.move(session, apply(session, Move(step, reason), datetime.now(UTC)))
    return session


def moved(session, step, reason=None):
    """The session after a step."""
    return apply(session, Move(step, reason), datetime.now(UTC))
