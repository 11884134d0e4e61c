"""Charging a card, or failing to as a real bank does."""

from typing import Protocol

from services.bank.domain import (
    Behaviour,
    Charge,
    Decision,
    Scope,
    State,
    Transaction,
    UnknownKey,
    checked,
    draw_outcome,
)


class NoAnswer(Exception):
    """The bank is set to give no answer."""


class Ledger(Protocol):
    """The store of transactions, which are kept for ever, and of behaviours."""

    async def charge(self, charge: Charge, drawn: State, *, follow: bool) -> Decision:
        """Return the transaction of this key; without one, insert it. OtherCharge for other figures.

        A new one is decided by the behaviour of the narrowest scope, of which one use is counted, and as `drawn` where none
        is set, or where behaviours are not to be followed. HANG inserts nothing.
        """

    async def find(self, key: str) -> Transaction | None:
        """Return the transaction of a key; None when no charge has arrived."""

    async def cancel(self, key: str) -> Transaction:
        """Return the transaction of this key; without one, insert a CANCELLED one, which bars a late charge."""

    async def set_behaviour(self, scope: Scope, behaviour: Behaviour, times: int | None) -> None:
        """Set the behaviour of a scope for `times` charges; None: until it is reset."""

    async def reset_behaviour(self, scope: Scope) -> None:
        """Remove the behaviour of a scope."""


class Bank:
    """The simulated payment provider. Behaviours are followed only while they can be set (`admin`)."""

    def __init__(self, ledger: Ledger, *, seed: str, success_rate: float, admin: bool) -> None:
        self._ledger = ledger
        self._admin = admin
        self._seed = seed
        self._success_rate = success_rate

    async def charge(self, charge: Charge) -> Transaction:
        """Charge once per key; NoAnswer when the bank is set to give no answer."""
        checked(charge)
        drawn = draw_outcome(self._seed, charge.key, self._success_rate)
        decision = await self._ledger.charge(charge, drawn, follow=self._admin)
        if decision.transaction is None or decision.behaviour is Behaviour.CHARGE_AND_DROP:
            raise NoAnswer
        return decision.transaction

    async def get(self, key: str) -> Transaction:
        """Return a transaction; UnknownKey: no charge has arrived yet, though one may be on its way."""
        transaction = await self._ledger.find(key)
        if transaction is None:
            raise UnknownKey
        return transaction

    async def cancel(self, key: str) -> Transaction:
        """Void a charge that is not decided, or that has not arrived."""
        return await self._ledger.cancel(key)

    async def set_behaviour(self, scope: Scope, behaviour: Behaviour, times: int | None) -> None:
        """Set the behaviour of a scope for `times` charges; None: until it is reset."""
        await self._ledger.set_behaviour(scope, behaviour, times)

    async def reset_behaviour(self, scope: Scope) -> None:
        """Remove the behaviour of a scope."""
        await self._ledger.reset_behaviour(scope)
