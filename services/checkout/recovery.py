"""Takes over sagas whose driver has lost its lease, and drives them with the same `advance` as the request path.

Several recovery workers can run at once: a lease is taken by one statement, every write is fenced by its epoch, and every
call to another service is idempotent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from services.chassis import call
from services.chassis.failures import report
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.checkout.domain import LostLease, Session
from services.errors import InternalError, Transient

BATCH = 20
SAGA_SECONDS = 8.0  # less than a lease: a saga that needs longer is parked and taken over again


class Leases(Protocol):
    """Sagas that nobody drives."""

    async def take_over(self, limit: int) -> Sequence[Session]:
        """Take the lease of up to `limit` of them."""

    async def oldest_running_seconds(self) -> float:
        """Return the age of the oldest checkout that has not ended."""


class Recovery:
    """The recovery worker."""

    def __init__(
        self, leases: Leases, advance: Callable[[Session], Awaitable[Session]], log: Logger, metrics: Metrics
    ) -> None:
        self._leases = leases
        self._advance = advance
        self._log = log
        self._metrics = metrics
        self._taken = metrics.counter("cartwright_sagas_taken_over_total", "Sagas taken over by recovery.")
        self._oldest = metrics.gauge("cartwright_saga_oldest_seconds", "Age of the oldest checkout that has not ended.")

    async def run_once(self) -> int:
        """Take over what nobody drives, drive each as far as it goes, and return how many ended."""
        self._oldest.set(await self._leases.oldest_running_seconds())
        sessions = await self._leases.take_over(BATCH)
        self._taken.inc(len(sessions))
        return sum(await asyncio.gather(*(self._drive(session) for session in sessions)))

    async def _drive(self, session: Session) -> bool:
        with call.within(call.incoming(session.request_id, session.traceparent, seconds=SAGA_SECONDS)):
            self._log.info("taken over", checkout_id=session.id, step=session.step, epoch=session.lease_epoch)
            try:
                await self._advance(session)
            except (Transient, InternalError, LostLease) as fault:
                self._log.warning("not ended yet", checkout_id=session.id, error=str(fault))
                return False
            except Exception as error:  # noqa: BLE001 - one saga must not stop the others
                report(self._log, self._metrics, "recovery", error, checkout_id=session.id, step=session.step)
                return False
        return True
