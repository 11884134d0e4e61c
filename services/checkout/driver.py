"""Drives a saga to its end. The request path and the recovery worker both call `advance`: there is no second way."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from services.checkout.domain import CartBusy, LostLease, Payment, Reservation, Session, Status
from services.checkout.saga import Action, Move, after_payment, after_stock, decide, take
from services.errors import OutcomeUnknown, Transient

Clock = Callable[[], datetime]
Observe = Callable[[Session], None]


class Stock(Protocol):
    """Inventory. Every call is idempotent; a Transient fault leaves it open whether it was done."""

    async def reserve(self, session: Session) -> Reservation:
        """Hold the lines."""

    async def pin(self, session: Session) -> Reservation:
        """Take the expiry off."""

    async def confirm(self, session: Session) -> Reservation:
        """Sell what is held."""

    async def release(self, session: Session) -> Reservation:
        """Return what is held, or bar a late reservation."""


class Till(Protocol):
    """Payment. Every call is idempotent; a Transient fault leaves it open whether it was done."""

    async def charge(self, session: Session) -> Payment:
        """Charge the total."""

    async def cancel(self, session: Session) -> Payment:
        """End the payment if it is not captured."""


class Claims(Protocol):
    """The first step of a checkout that was accepted before it claimed anything."""

    async def claim(self, session: Session) -> Session | Move:
        """Give the session once it is claimed, or the move to its end; a Transient fault: not yet."""


class Sessions(Protocol):
    """The rows of sagas, as their driver needs them."""

    async def move(self, before: Session, after: Session) -> Session:
        """Write `after` where the row still is `before` under the same lease; LostLease where it is not.

        OutcomeUnknown: the reply was lost. Completing writes the event in the same transaction.
        """

    async def load(self, checkout_id: str) -> Session:
        """Read a row; UnknownCheckout when there is none."""

    async def park(self, session: Session, error: str, *, most: float | None = None) -> None:
        """Give the lease up, and let recovery try again after a pause that grows, up to `most` seconds where given."""


class Driver:
    """Takes one saga step after the other."""

    def __init__(
        self, sessions: Sessions, claims: Claims, stock: Stock, till: Till, *, clock: Clock, observe: Observe
    ) -> None:
        self._sessions = sessions
        self._claims = claims
        self._stock = stock
        self._till = till
        self._clock = clock
        self._observe = observe

    async def advance(self, session: Session) -> Session:
        """Drive `session` until it has ended, and give it.

        A part that is away, or an answer that stays open, parks it for the recovery worker and raises the Transient
        fault. LostLease: another process drives it.
        """
        try:
            while session.status is Status.PROCESSING:
                session = await self._step(session)
                self._observe(session)
        except CartBusy as busy:
            await self._sessions.park(session, str(busy), most=busy.retry_after)
            raise
        except Transient as fault:
            await self._sessions.park(session, str(fault))
            raise
        return session

    async def _step(self, session: Session) -> Session:
        decision = decide(session.step, session.cancel)
        if isinstance(decision, Move):
            return await self._write(session, decision)
        if decision is Action.CLAIM:
            claimed = await self._claims.claim(session)
            return await self._write(session, claimed) if isinstance(claimed, Move) else claimed
        move = await self._perform(decision, session)
        if move is None:
            raise OutcomeUnknown(f"{decision} is undecided")
        return await self._write(session, move)

    async def _perform(self, action: Action, session: Session) -> Move | None:
        if action is Action.CHARGE:
            return after_payment(await self._till.charge(session))
        if action is Action.CANCEL_PAYMENT:
            return after_payment(await self._till.cancel(session))
        calls = {
            Action.RESERVE: self._stock.reserve,
            Action.PIN: self._stock.pin,
            Action.CONFIRM: self._stock.confirm,
            Action.RELEASE: self._stock.release,
        }
        return after_stock(action, await calls[action](session))

    async def _write(self, before: Session, move: Move) -> Session:
        after = take(before, move, self._clock())
        try:
            return await self._sessions.move(before, after)
        except OutcomeUnknown:
            # The reply to COMMIT was lost: the row says whether it happened.
            there = await self._sessions.load(before.id)
            if there.lease_epoch == before.lease_epoch and there.step is after.step:
                return there
            if there.lease_epoch == before.lease_epoch and there.step is before.step:
                return await self._sessions.move(before, after)
            raise LostLease(before.id) from None
