"""Driving a payment to an outcome, and never taking silence for a refusal.

The intent is committed before the provider is called, and the outcome by a compare-and-set: whoever loses reads what the
winner wrote.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from services.errors import Fault
from services.payment.domain import OtherPayment, Payment, State, Wish


class Payments(Protocol):
    """Where payments are kept."""

    async def intend(self, wishes: Sequence[Wish]) -> list[Payment]:
        """Insert an INTENT for each checkout without a payment, and give the payment of each."""

    async def entomb(self, checkout_ids: Sequence[str]) -> list[Payment]:
        """Insert a CANCELLED payment for each checkout without one, and give the payment of each."""

    async def decide(self, checkout_id: str, state: State, provider_ref: str) -> Payment:
        """Move an INTENT to `state`, and give the payment as it is then."""


class Provider(Protocol):
    """Who moves the money. Both are idempotent by checkout; a fault of any kind leaves the outcome open.

    Only a state that the provider gives decides. Its refusal of a request says nothing about a request before it.
    """

    async def charge(self, payment: Payment) -> tuple[State, str]:
        """Charge, and give the final state with the provider's reference."""

    async def cancel(self, checkout_id: str) -> tuple[State, str]:
        """Void what is not captured, and give the final state with the provider's reference."""


class Till:
    """One payment per checkout."""

    def __init__(self, payments: Payments, provider: Provider, *, on_silence: Callable[[Payment, Fault], None]) -> None:
        self._payments = payments
        self._provider = provider
        self._on_silence = on_silence

    async def charge(self, wishes: Sequence[Wish]) -> list[Payment | Fault]:
        """Charge each; a repeat gives the stored outcome, INTENT where the provider has not said."""
        payments = await self._payments.intend(wishes)

        async def one(wish: Wish, payment: Payment) -> Payment | Fault:
            if not payment.is_for(wish):
                return OtherPayment()
            return await self.pursue(payment)

        return list(await asyncio.gather(*(one(*pair) for pair in zip(wishes, payments, strict=True))))

    async def cancel(self, checkout_ids: Sequence[str]) -> list[Payment | Fault]:
        """End each payment that is not captured; CAPTURED says that it came too late."""
        payments = await self._payments.entomb(checkout_ids)

        async def one(payment: Payment) -> Payment | Fault:
            if payment.state is not State.INTENT:
                return payment
            try:
                state, reference = await self._provider.cancel(payment.checkout_id)
                return await self._payments.decide(payment.checkout_id, state, reference)
            except Fault as fault:
                self._on_silence(payment, fault)
                return payment

        return list(await asyncio.gather(*(one(payment) for payment in payments)))

    async def pursue(self, payment: Payment) -> Payment:
        """Ask the provider for an undecided payment's outcome by sending the same charge again."""
        if payment.state is not State.INTENT:
            return payment
        try:
            state, reference = await self._provider.charge(payment)
            return await self._payments.decide(payment.checkout_id, state, reference)
        except Fault as fault:
            self._on_silence(payment, fault)
            return payment
