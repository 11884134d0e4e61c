"""Bringing a payment to an outcome. A provider that does not answer has not declined.

The intent is committed before the provider is called, and the outcome by a compare-and-set: whoever loses reads what the
winner wrote.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from services.errors import Fault
from services.payment.domain import ChargeRequest, OtherPayment, Payment, PaymentRecord, State, UnknownPayment


class Payments(Protocol):
    """The store of payments."""

    async def insert_intent(self, request: ChargeRequest) -> Payment:
        """Insert an INTENT for a checkout without a payment, and return the payment."""

    async def insert_tombstones(self, checkout_ids: Sequence[str]) -> list[Payment]:
        """Insert a CANCELLED payment for each checkout without one, and return the payment of each."""

    async def decide(self, checkout_id: str, state: State, provider_ref: str) -> Payment:
        """Move an INTENT to `state`, and return the payment as it is then."""

    async def records(self, checkout_ids: Sequence[str]) -> dict[str, PaymentRecord]:
        """Return the payments that exist, by checkout id."""


class Provider(Protocol):
    """The payment provider. Both calls are idempotent by checkout; after a fault of any kind the outcome is unknown.

    Only a state that the provider returns decides. Its refusal of a request says nothing about an earlier request.
    """

    async def charge(self, payment: Payment) -> tuple[State, str]:
        """Charge, and return the final state with the provider's reference."""

    async def cancel(self, checkout_id: str) -> tuple[State, str]:
        """Void what is not captured, and return the final state with the provider's reference."""


class PaymentProcessor:
    """Charges and cancels: one payment a checkout."""

    def __init__(
        self, payments: Payments, provider: Provider, *, on_undecided: Callable[[Payment, Fault], None]
    ) -> None:
        self._payments = payments
        self._provider = provider
        self._on_undecided = on_undecided
        self._asking: dict[ChargeRequest, asyncio.Task[Payment | Exception]] = {}

    async def charge(self, requests: Sequence[ChargeRequest]) -> list[Payment | Exception]:
        """Charge each; a repeat returns the stored outcome, INTENT while the provider has not answered.

        ASKING, for a request that may not wait any longer: the charge goes on, and the same request joins it.
        """
        return list(await asyncio.gather(*map(self._within_its_wait, requests)))

    async def _within_its_wait(self, request: ChargeRequest) -> Payment | Exception:
        asking = self._asking.get(request)
        if asking is None:
            asking = self._asking[request] = asyncio.create_task(self._charge(request))
            asking.add_done_callback(lambda _: self._asking.pop(request, None))
        done, _ = await asyncio.wait({asking}, timeout=request.wait)
        if done:
            return asking.result()
        asking.add_done_callback(_log_if_unexpected)
        return Payment(request.checkout_id, request.user_id, request.amount_minor, request.currency, State.ASKING)

    async def _charge(self, request: ChargeRequest) -> Payment | Exception:
        try:
            payment = await self._payments.insert_intent(request)
            return await self.resolve(payment) if payment.is_for(request) else OtherPayment()
        except Exception as error:  # noqa: BLE001 - the outcome of this request, which the server reports where it is unexpected
            return error

    async def cancel(self, checkout_ids: Sequence[str]) -> list[Payment | Fault]:
        """Cancel each payment that is not captured; CAPTURED: the cancellation came too late."""
        payments = await self._payments.insert_tombstones(checkout_ids)

        async def one(payment: Payment) -> Payment | Fault:
            if payment.state is not State.INTENT:
                return payment
            try:
                state, reference = await self._provider.cancel(payment.checkout_id)
                return await self._payments.decide(payment.checkout_id, state, reference)
            except Fault as fault:
                self._on_undecided(payment, fault)
                return payment

        return list(await asyncio.gather(*(one(payment) for payment in payments)))

    async def get(self, checkout_ids: Sequence[str]) -> list[PaymentRecord | Fault]:
        """Return the payment of each checkout as it is stored, or UnknownPayment."""
        found = await self._payments.records(checkout_ids)
        return [found.get(checkout_id) or UnknownPayment() for checkout_id in checkout_ids]

    async def resolve(self, payment: Payment) -> Payment:
        """Send the charge of an undecided payment again, and return the payment with the provider's outcome."""
        if payment.state is not State.INTENT:
            return payment
        try:
            state, reference = await self._provider.charge(payment)
            return await self._payments.decide(payment.checkout_id, state, reference)
        except Fault as fault:
            self._on_undecided(payment, fault)
            return payment


def _log_if_unexpected(asking: "asyncio.Task[Payment | Exception]") -> None:
    """Have asyncio log what no request may be there to hear of. The payment stays undecided, and is resolved."""
    error = None if asking.cancelled() else asking.result()
    if isinstance(error, Exception) and not isinstance(error, Fault):
        asking.get_loop().call_exception_handler({"message": "a charge failed unexpectedly", "exception": error})
