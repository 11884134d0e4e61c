"""The ledger of the bank in memory: the same promises as the real one."""

import collections
import math

from services.bank.domain import Behaviour, Decision, OtherCharge, State, Transaction, scopes_of


class MemoryLedger:
    """Fits the port Ledger; `requests` counts what was asked with each key."""

    def __init__(self):
        self.kept, self.requests, self.behaviours = {}, collections.Counter(), {}

    def _keep(self, transaction):
        self.requests[transaction.key] += 1
        return self.kept.setdefault(transaction.key, transaction)

    async def charge(self, charge, drawn, *, follow):
        behaviour = self._use_behaviour(charge) if follow and charge.key not in self.kept else None
        if behaviour is Behaviour.HANG:
            return Decision(None, behaviour)
        state = State.DECLINED if behaviour is Behaviour.DECLINE else State.CAPTURED if behaviour else drawn
        figures = (charge.user_id, charge.amount_minor, charge.currency)
        there = self._keep(Transaction(charge.key, state, *figures, f"ref-{charge.key}"))
        if there.state is not State.CANCELLED and figures != (there.user_id, there.amount_minor, there.currency):
            raise OtherCharge
        return Decision(there, behaviour)

    async def find(self, key):
        return self.kept.get(key)

    async def cancel(self, key):
        return self._keep(Transaction(key, State.CANCELLED, 0, 0, "", f"ref-{key}"))

    def _use_behaviour(self, charge):
        for scope in scopes_of(charge):
            behaviour, times = self.behaviours.get(scope, (None, 0))
            if times:
                self.behaviours[scope] = (behaviour, times - 1)
                return behaviour
        return None

    async def set_behaviour(self, scope, behaviour, times):
        self.behaviours[scope] = (behaviour, math.inf if times is None else times)

    async def reset_behaviour(self, scope):
        self.behaviours.pop(scope, None)
