"""Payments in memory, and a bank that does as it is told."""

from services.errors import OutcomeUnknown
from services.payment.domain import Payment, State


class MemoryPayments:
    """Fits the port Payments."""

    def __init__(self):
        self.kept = {}

    async def insert_intent(self, request):
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
