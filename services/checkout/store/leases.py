"""Who drives a saga: leases are taken over, renewed and given up. A new driver is a new epoch, which fences the old one."""

from collections.abc import Sequence

from services.checkout.domain import Session
from services.checkout.saga import tried_again
from services.checkout.store.rows import COLUMNS, LEASE_SECONDS, Queries, json_of, session_of

PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.2, 30.0

_TAKE_OVER = f"""
UPDATE checkout_sessions SET lease_owner = $1, lease_epoch = lease_epoch + 1,
    lease_until = clock_timestamp() + make_interval(secs => $2)
WHERE id IN (
    SELECT id FROM checkout_sessions
    WHERE status = 'PROCESSING' AND lease_until < clock_timestamp() AND next_attempt_at <= clock_timestamp()
    ORDER BY next_attempt_at FOR UPDATE SKIP LOCKED LIMIT $3)
RETURNING {COLUMNS}"""  # noqa: S608 - constants

_PARK = """
UPDATE checkout_sessions SET lease_until = clock_timestamp(), attempts = attempts + 1, last_error = $3, steps = $4,
    next_attempt_at = clock_timestamp() + make_interval(secs => random() * least($6, $5 * power(2, least(attempts, 20))))
WHERE id = $1 AND lease_epoch = $2 AND status = 'PROCESSING'"""

# A row that is locked is being moved this very moment; waiting for it could make a circle, and its turn comes again.
_RENEW = """
UPDATE checkout_sessions SET lease_until = clock_timestamp() + make_interval(secs => $3)
WHERE id IN (SELECT id FROM checkout_sessions
    WHERE id = ANY($1::uuid[]) AND lease_owner = $2 AND status = 'PROCESSING' FOR UPDATE SKIP LOCKED)"""


class LeaseQueries(Queries):
    """Writes the leases of sagas."""

    async def take_over(self, limit: int) -> list[Session]:
        """Take the lease of up to `limit` sagas that nobody drives, those that have waited longest first."""
        rows = await self._db.fetch(_TAKE_OVER, self._owner, LEASE_SECONDS, limit)
        return [session_of(row) for row in rows]

    async def renew(self, checkout_ids: Sequence[str]) -> None:
        """Extend the leases that this process has."""
        await self._db.fetch(_RENEW, list(checkout_ids), self._owner, LEASE_SECONDS)

    async def park(self, session: Session, error: str, *, max_pause: float = MAX_PAUSE_SECONDS) -> None:
        """Give the lease up; recovery tries again after a pause that doubles up to `max_pause` seconds, with full jitter."""
        await self._db.fetch(
            _PARK,
            session.id,
            session.lease_epoch,
            error,
            json_of(tried_again(session.steps)),
            PAUSE_SECONDS,
            max_pause,
        )
