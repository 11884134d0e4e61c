"""Charging a card, or behaving as a bank on a bad day does."""

from typing import Protocol

from services.bank.domain import Behaviour, Charge, State, Transaction, UnknownKey, Whom, checked, drawn


class Hangs(Exception):
    """The bank has been told not to answer."""


class Ledger(Protocol):
    """Where transactions are kept, for ever."""

    async def decide(self, charge: Charge, state: State) -> Transaction:
        """Give the transaction of this key; where there is none, it ends as `state`. OtherCharge for other figures."""

    async def find(self, key: str) -> Transaction | None:
        """Give the transaction of a key."""

    async def cancel(self, key: str) -> Transaction:
        """Give the transaction of this key; where there is none, it is cancelled before it comes."""

    async def told(self, charge: Charge) -> Behaviour | None:
        """Give how to behave with this charge, counting one use; a checkout's before a user's before everybody's."""

    async def tell(self, whom: Whom, behaviour: Behaviour | None, times: int) -> None:
        """Keep how to behave, for so many charges (0: until told otherwise); None: forget it."""


class Bank:
    """The simulated payment provider. What it has been told counts only while it can be told (`admin`)."""

    def __init__(self, ledger: Ledger, *, seed: str, success_rate: float, admin: bool) -> None:
        self._ledger = ledger
        self._admin = admin
        self._seed = seed
        self._success_rate = success_rate

    async def charge(self, charge: Charge) -> Transaction:
        """Charge once per key; Hangs where no answer shall be given."""
        checked(charge)
        new = self._admin and await self._ledger.find(charge.key) is None
        behaviour = await self._ledger.told(charge) if new else None
        if behaviour is Behaviour.HANG:
            raise Hangs
        state = {
            Behaviour.APPROVE: State.CAPTURED,
            Behaviour.CHARGE_AND_DROP: State.CAPTURED,
            Behaviour.DECLINE: State.DECLINED,
            None: drawn(self._seed, charge.key, self._success_rate),
        }[behaviour]
        transaction = await self._ledger.decide(charge, state)
        if behaviour is Behaviour.CHARGE_AND_DROP:
            raise Hangs
        return transaction

    async def get(self, key: str) -> Transaction:
        """Give a transaction; UnknownKey says only that no charge has arrived yet."""
        transaction = await self._ledger.find(key)
        if transaction is None:
            raise UnknownKey
        return transaction

    async def cancel(self, key: str) -> Transaction:
        """Void a charge that is not decided, also one that has not arrived."""
        return await self._ledger.cancel(key)

    async def behave(self, whom: Whom, behaviour: Behaviour | None, times: int) -> None:
        """Keep how to behave from now on."""
        await self._ledger.tell(whom, behaviour, times)
