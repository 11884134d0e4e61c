"""Payments in memory, and a bank that does as it is told."""

import time
from datetime import UTC, datetime

from services.errors import OutcomeUnknown
from services.payment.domain import Payment, PaymentRecord, State, UndecidedPayment


class MemoryPayments:
    """Fits the ports Payments and UndecidedPayments."""

    def __init__(self, resolve_after=0.0, now=time.monotonic):
        self.kept, self.due, self.attempts, self.traceparents = {}, {}, {}, {}
        self.resolve_after, self.now = resolve_after, now

    async def insert_intent(self, request):
        self.due.setdefault(request.checkout_id, self.now() + self.resolve_after)
        self.traceparents.setdefault(request.checkout_id, request.traceparent)
        return self.kept.setdefault(
            request.checkout_id,
            Payment(request.checkout_id, request.user_id, request.amount_minor, request.currency, State.INTENT),
        )

    async def insert_tombstones(self, checkout_ids):
        return [self.kept.setdefault(name, Payment(name, 0, 0, "", State.CANCELLED)) for name in checkout_ids]

    async def decide(self, checkout_id, state, provider_ref):
        there = self.kept[checkout_id]
        if there.state is State.INTENT:
            there = Payment(checkout_id, there.user_id, there.amount_minor, there.currency, state, provider_ref)
            self.kept[checkout_id] = there
        return there

    async def take_undecided(self, limit):
        now = self.now()
        taken = [one for name, one in self.kept.items() if one.state is State.INTENT and self.due[name] <= now][:limit]
        for one in taken:
            tried = self.attempts[one.checkout_id] = self.attempts.get(one.checkout_id, 0) + 1
            self.due[one.checkout_id] = now + min(60.0, self.resolve_after / 2 * 2 ** min(tried, 10))
        return [UndecidedPayment(one, self.traceparents[one.checkout_id]) for one in taken]

    async def records(self, checkout_ids):
        now = datetime.now(UTC)
        return {
            name: PaymentRecord(there, 1, now, None if there.state is State.INTENT else now)
            for name in checkout_ids
            if (there := self.kept.get(name))
        }

    async def oldest_undecided_seconds(self):
        return 0.0


class MemoryBank:
    """Fits the port Provider: decides once per key; `mood` holds what a charge of a key meets first, and `slow` what it waits for."""

    def __init__(self):
        self.ledger = {}
        self.mood = {}
        self.slow = {}
        self.charges = []

    async def charge(self, payment):
        self.charges.append(payment.checkout_id)
        if answers := self.slow.pop(payment.checkout_id, None):
            await answers.wait()
        mood = self.mood.pop(payment.checkout_id, None)
        if isinstance(mood, Exception):
            raise mood
        outcome = State.DECLINED if mood == "decline" else State.CAPTURED
        answer = self.ledger.setdefault(payment.checkout_id, (outcome, f"ref-{payment.checkout_id}"))
        if mood == "drop":
            raise OutcomeUnknown("no answer")
        return answer

    async def cancel(self, checkout_id):
        return self.ledger.setdefault(checkout_id, (State.CANCELLED, ""))
