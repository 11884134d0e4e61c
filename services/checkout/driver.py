"""Drives a saga to its end. The request path and the recovery worker both call `advance`; there is no other code for it."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from services.chassis import tracing
from services.checkout.domain import CartBusy, LostLease, Payment, Reservation, Session, Status
from services.checkout.saga import WRITTEN_LATE, Action, Move, after_payment, after_stock, apply, decide
from services.errors import Fault, InternalError, OutcomeUnknown

_SPANS = {action: f"saga.{action.name.lower()}" for action in Action}
Clock = Callable[[], datetime]
Observe = Callable[[Session], None]


class Stock(Protocol):
    """The inventory service. Every call is idempotent; after a Transient fault it may or may not have been done."""

    async def reserve(self, session: Session) -> Reservation:
        """Reserve the lines and pin them: PINNED. HELD: the service knows no pin of its own accord."""

    async def pin(self, session: Session) -> Reservation:
        """Remove the reservation's expiry."""

    async def confirm(self, session: Session) -> Reservation:
        """Sell what is held."""

    async def release(self, session: Session) -> Reservation:
        """Release the reserved stock; without a reservation leave a tombstone, which bars a late one."""


class Payments(Protocol):
    """The payment service. Every call is idempotent; after a Transient fault it may or may not have been done."""

    async def charge(self, session: Session) -> Payment:
        """Charge the total."""

    async def cancel(self, session: Session) -> Payment:
        """Cancel the payment if it is not captured."""


class Claims(Protocol):
    """The first step of a checkout that was accepted before it claimed anything."""

    async def claim(self, session: Session) -> Session | Move:
        """Return the claimed session, or the move to its failure; a Transient fault: not claimed yet."""


class Sessions(Protocol):
    """The rows of sagas, as their driver needs them."""

    async def move(self, before: Session, after: Session) -> Session:
        """Write `after` where the row still is `before` under the same lease; LostLease where it is not.

        OutcomeUnknown: the reply was lost. Completing writes the event in the same transaction.
        """

    async def load(self, checkout_id: str) -> Session:
        """Read a row; UnknownCheckout when there is none."""

    async def park(self, session: Session, error: str, *, max_pause: float = ...) -> None:
        """Give the lease up. Recovery tries again after a pause that grows with each attempt, up to `max_pause` seconds."""


class Driver:
    """Performs the steps of sagas, one after the other."""

    def __init__(
        self, sessions: Sessions, claims: Claims, stock: Stock, payments: Payments, *, clock: Clock, observe: Observe
    ) -> None:
        self._sessions = sessions
        self._claims = claims
        self._stock = stock
        self._payments = payments
        self._clock = clock
        self._observe = observe

    async def advance(self, session: Session) -> Session:
        """Drive `session` until it has ended, and return it.

        What stops the saga parks it for the recovery worker, which tries again after a pause that grows, and is raised:
        a Transient fault where a service is unavailable or an outcome stays unknown, and any other error, since an
        unexpected failure leaves the outcome as unknown as a lost reply does. LostLease: another process drives the saga,
        and nothing is parked.
        """
        # A driver after the first took the saga over. Its span links to the claim, whose id stands in the row.
        taken_over = session.lease_epoch > 1
        with tracing.resumed("saga", session.traceparent) if taken_over else tracing.root("saga") as span:
            span.set("cartwright.checkout_id", session.id)
            span.set("cartwright.lease_epoch", session.lease_epoch)
            span.set("user.id", session.user_id)
            session = await self._advance(session)
            if session.reason is not None:
                span.fail(session.reason)
        return session

    async def _advance(self, session: Session) -> Session:
        try:
            while session.status is Status.PROCESSING:
                session = await self._step(session)
                self._observe(session)
        except CartBusy as busy:
            await self._sessions.park(session, str(busy), max_pause=busy.retry_after)
            raise
        except LostLease:
            raise
        except Exception as error:
            await self._sessions.park(session, str(error) if isinstance(error, Fault) else str(InternalError()))
            raise
        return session

    async def _step(self, session: Session) -> Session:
        decision = decide(session.step, session.cancel)
        if isinstance(decision, Move):
            return await self._write(session, decision)
        if decision is Action.CLAIM:
            with tracing.span("saga.claim"):
                claimed = await self._claims.claim(session)
            return await self._write(session, claimed) if isinstance(claimed, Move) else claimed
        after = apply(session, await self._perform(decision, session), self._clock())
        return await self._write_step(session, await self._go_on(after) if after.step in WRITTEN_LATE else after)

    async def _go_on(self, session: Session) -> Session:
        """Return the session after the next step, or `session` itself where that step fails.

        Its row is then written, and `advance` takes the step again from there and reports what stops it.
        """
        decision = decide(session.step, session.cancel)
        try:
            move = decision if isinstance(decision, Move) else await self._perform(decision, session)
        except Exception:  # noqa: BLE001 - `advance` meets it again, with the row written
            return session
        return apply(session, move, self._clock())

    async def _perform(self, action: Action, session: Session) -> Move:
        """Return the move that the answer means. OutcomeUnknown: it decides nothing, and the call is to be repeated."""
        with tracing.span(_SPANS[action]):
            move = await self._answer(action, session)
        if move is None:
            raise OutcomeUnknown(f"{action} is undecided")
        return move

    async def _answer(self, action: Action, session: Session) -> Move | None:
        if action is Action.CHARGE:
            return after_payment(await self._payments.charge(session))
        if action is Action.CANCEL_PAYMENT:
            return after_payment(await self._payments.cancel(session))
        calls = {
            Action.RESERVE: self._stock.reserve,
            Action.PIN: self._stock.pin,
            Action.CONFIRM: self._stock.confirm,
            Action.RELEASE: self._stock.release,
        }
        return after_stock(action, await calls[action](session))

    async def _write(self, before: Session, move: Move) -> Session:
        return await self._write_step(before, apply(before, move, self._clock()))

    async def _write_step(self, before: Session, after: Session) -> Session:
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
