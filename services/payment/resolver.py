"""Brings payments that were left without an outcome to one, by sending the same charge again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from services.chassis import call
from services.chassis.telemetry import Metrics
from services.payment.domain import Payment, State

MOST = 20
ASK_SECONDS = 2.0


class Open(Protocol):
    """Payments without an outcome."""

    async def take_open(self, most: int) -> Sequence[Payment]:
        """Give payments that have been undecided for a while, and put off their next turn."""

    async def oldest_open_seconds(self) -> float:
        """Give the age of the oldest undecided payment."""


class Resolver:
    """The resolver worker."""

    def __init__(self, payments: Open, pursue: Callable[[Payment], Awaitable[Payment]], metrics: Metrics) -> None:
        self._payments = payments
        self._pursue = pursue
        self._resolved = metrics.counter(
            "cartwright_payments_resolved_total", "Payments that got an outcome after having been left without one."
        )
        self._oldest = metrics.gauge(
            "cartwright_payment_oldest_open_seconds", "Age of the oldest undecided payment; alarming past an hour."
        )

    async def run_once(self) -> int:
        """Ask again for a batch, and give how many have an outcome now."""
        self._oldest.set(await self._payments.oldest_open_seconds())
        with call.within(call.incoming("", "", seconds=ASK_SECONDS)):
            payments = await self._payments.take_open(MOST)
            answers = await asyncio.gather(*(self._pursue(payment) for payment in payments))
        resolved = sum(payment.state is not State.INTENT for payment in answers)
        self._resolved.inc(resolved)
        return resolved
