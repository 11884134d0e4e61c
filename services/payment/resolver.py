"""Resolves payments that were left undecided, by sending the same charge again.

Each attempt is a span of the trace of its purchase. To find nothing makes no span.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from services.chassis import call, tracing
from services.chassis.failures import report
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.payment.domain import Payment, State, UndecidedPayment

BATCH = 20
ASK_SECONDS = 2.0


class UndecidedPayments(Protocol):
    """The store of payments, as the resolver needs it."""

    async def take_undecided(self, limit: int) -> Sequence[UndecidedPayment]:
        """Return up to `limit` payments that are due for another attempt, and schedule the attempt after it."""

    async def oldest_undecided_seconds(self) -> float:
        """Return the age of the oldest undecided payment, in seconds."""


class Resolver:
    """The resolver worker."""

    def __init__(
        self,
        payments: UndecidedPayments,
        resolve: Callable[[Payment], Awaitable[Payment]],
        log: Logger,
        metrics: Metrics,
    ) -> None:
        self._payments = payments
        self._resolve = resolve
        self._log = log
        self._metrics = metrics
        self._resolved = metrics.counter(
            "cartwright_payments_resolved_total", "Payments that got an outcome after having been left without one."
        )
        self._oldest = metrics.gauge(
            "cartwright_payment_oldest_open_seconds", "Age of the oldest undecided payment; alarming past an hour."
        )

    async def run_once(self) -> int:
        """Charge a batch of undecided payments again; return how many have an outcome now."""
        self._oldest.set(await self._payments.oldest_undecided_seconds())
        with call.within(call.incoming("", "", seconds=ASK_SECONDS)):
            undecided = await self._payments.take_undecided(BATCH)
        resolved = sum(await asyncio.gather(*(self._resolved_now(one.payment, one.traceparent) for one in undecided)))
        self._resolved.inc(resolved)
        return resolved

    async def _resolved_now(self, payment: Payment, traceparent: str) -> bool:
        """Return whether a payment has an outcome now. An error leaves it undecided, and does not stop the others."""
        asked = call.incoming("", traceparent, seconds=ASK_SECONDS)
        with call.within(asked), tracing.resumed("payment.resolve", traceparent) as span:
            span.set("cartwright.checkout_id", payment.checkout_id)
            try:
                state = (await self._resolve(payment)).state
            except Exception as error:  # noqa: BLE001 - reported; its next turn comes after a pause that grows
                span.fail(type(error).__name__)
                report(self._log, self._metrics, "resolver", error, checkout_id=payment.checkout_id)
                return False
            if state is State.INTENT:
                span.fail("Undecided")
            return state is not State.INTENT
