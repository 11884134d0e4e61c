"""The saga as pure functions: which step may follow which, what to do next, and what an answer means.

The charge is the pivot. Before PAYING a saga can be compensated. In PAYING the charge is only repeated or cancelled. After
PAID the saga goes forward only. In RELEASING the release is repeated until it is acknowledged. An undecided answer is not
a refusal: it gives no move, and the same action is repeated.

A row is written only where a driver that takes over would otherwise do something else
(docs/decisions/0006-the-rows-of-a-saga.md). A saga that goes straight on is never in RESERVED, since its stock is reserved
and pinned by one call, and writes PAID only where the confirm does not follow at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.checkout.domain import Payment, Reason, Reservation, Session, Status, Step, StepRecord

TRANSITIONS: Mapping[Step, frozenset[Step]] = {
    Step.ACCEPTED: frozenset({Step.CLAIMED, Step.FAILED}),
    Step.CLAIMED: frozenset({Step.RESERVED, Step.PAYING, Step.RELEASING}),
    Step.RESERVED: frozenset({Step.PAYING, Step.RELEASING}),
    Step.PAYING: frozenset({Step.PAID, Step.RELEASING, Step.CANCELLING}),
    Step.CANCELLING: frozenset({Step.PAID, Step.RELEASING}),
    Step.PAID: frozenset({Step.COMPLETED}),
    Step.RELEASING: frozenset({Step.FAILED}),
    Step.COMPLETED: frozenset(),
    Step.FAILED: frozenset(),
}

WRITTEN_LATE = frozenset({Step.PAID})
"""Steps whose row is left out where the next step follows at once: whoever takes over repeats the idempotent charge, and
gets the same answer."""

# The vocabulary shown to shoppers and operators; a failed checkout shows the step that failed.
SHOWN: Mapping[Step, str] = {
    Step.ACCEPTED: "claim",
    Step.CLAIMED: "reserve",
    Step.RESERVED: "pay",
    Step.PAYING: "pay",
    Step.CANCELLING: "pay",
    Step.PAID: "confirm",
    Step.COMPLETED: "confirm",
    Step.RELEASING: "release",
}


class Action(StrEnum):
    """What the driver does next. Each is a call to another service, idempotent by checkout id; CLAIM is the claim.

    RESERVE also pins what it reserves. PIN is for a reservation that is only held, by a driver or a service of before.
    """

    CLAIM = "claim"
    RESERVE = "reserve"
    PIN = "pin"
    CHARGE = "charge"
    CANCEL_PAYMENT = "cancel_payment"
    CONFIRM = "confirm"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Move:
    """The next step. `reason` says why it leads to a failure; `details` says more about that, for people."""

    to: Step
    reason: Reason | None = None
    details: str | None = None


def decide(step: Step, cancel: Reason | None) -> Action | Move:
    """Return what a saga in `step` does next; `cancel` is the reason to stop it, if there is one.

    ValueError for a step in which a saga has ended.
    """
    if step is Step.ACCEPTED and cancel:
        return Move(Step.FAILED, cancel)
    if step in {Step.CLAIMED, Step.RESERVED} and cancel:
        return Move(Step.RELEASING, cancel)
    if step is Step.PAYING and cancel:
        return Move(Step.CANCELLING, cancel)
    actions = {
        Step.ACCEPTED: Action.CLAIM,
        Step.CLAIMED: Action.RESERVE,
        Step.RESERVED: Action.PIN,
        Step.PAYING: Action.CHARGE,
        Step.CANCELLING: Action.CANCEL_PAYMENT,
        Step.PAID: Action.CONFIRM,
        Step.RELEASING: Action.RELEASE,
    }
    if step not in actions:
        raise ValueError(f"a saga in {step} has nothing to do")
    return actions[step]


_STOCK_MOVES: Mapping[Action, Mapping[Reservation, Move]] = {
    Action.RESERVE: {
        Reservation.HELD: Move(Step.RESERVED),
        Reservation.PINNED: Move(Step.PAYING),
        Reservation.INSUFFICIENT: Move(Step.RELEASING, Reason.OUT_OF_STOCK),
        Reservation.EXPIRED: Move(Step.RELEASING, Reason.RESERVATION_EXPIRED),
        Reservation.RELEASED: Move(Step.RELEASING, Reason.RESERVATION_EXPIRED),
    },
    Action.PIN: {
        Reservation.PINNED: Move(Step.PAYING),
        Reservation.EXPIRED: Move(Step.RELEASING, Reason.RESERVATION_EXPIRED),
        Reservation.RELEASED: Move(Step.RELEASING, Reason.RESERVATION_EXPIRED),
        Reservation.REFUSED: Move(Step.RELEASING, Reason.RESERVATION_EXPIRED),
    },
    # What is pinned cannot expire. A refused confirm is therefore a fault to report, never a reason to compensate.
    Action.CONFIRM: {Reservation.CONFIRMED: Move(Step.COMPLETED)},
    Action.RELEASE: {Reservation.RELEASED: Move(Step.FAILED), Reservation.EXPIRED: Move(Step.FAILED)},
}


def after_stock(action: Action, answer: Reservation) -> Move | None:
    """Return the move that an answer of inventory means; None when it decides nothing, and the call is repeated."""
    return _STOCK_MOVES[action].get(answer)


def after_payment(answer: Payment) -> Move | None:
    """Return the move that an answer of payment means, to a charge or to a cancel; None while it is undecided."""
    if answer is Payment.CAPTURED:
        return Move(Step.PAID)
    if answer is Payment.DECLINED:
        return Move(Step.RELEASING, Reason.PAYMENT_DECLINED)
    if answer is Payment.CANCELLED:
        return Move(Step.RELEASING, Reason.CANCELLED)
    return None


def apply(session: Session, move: Move, now: datetime) -> Session:
    """Return the session after `move`; ValueError for a move that is not in TRANSITIONS.

    The first reason stays: a payment that is cancelled because the time is over ends as TimedOut.
    """
    if move.to not in TRANSITIONS[session.step]:
        raise ValueError(f"a saga does not go from {session.step} to {move.to}")
    status = {Step.COMPLETED: Status.COMPLETED, Step.FAILED: Status.FAILED}.get(move.to, Status.PROCESSING)
    reason = session.reason or move.reason
    if move.reason is Reason.PAYMENT_DECLINED:
        reason = move.reason
    return replace(
        session,
        step=move.to,
        status=status,
        reason=None if move.to in {Step.PAID, Step.COMPLETED} else reason,
        steps=_record(session.steps, session.step, move.to, now),
        last_error=move.details or session.last_error,
    )


def accepted_records(now: datetime) -> tuple[StepRecord, ...]:
    """Return the records of a saga that has been accepted, and claims nothing yet."""
    return (StepRecord("claim", "running", 1, now),)


def claimed_records(steps: tuple[StepRecord, ...], now: datetime) -> tuple[StepRecord, ...]:
    """Return the records of an accepted saga that has just been claimed."""
    return _record(steps, Step.ACCEPTED, Step.CLAIMED, now)


def first_records(now: datetime) -> tuple[StepRecord, ...]:
    """Return the records of a saga that has just been claimed."""
    return StepRecord("claim", "done", 1, now, now), StepRecord("reserve", "running", 1, now)


def tried_again(steps: tuple[StepRecord, ...]) -> tuple[StepRecord, ...]:
    """Count another attempt of the step that is running."""
    return tuple(replace(step, attempts=step.attempts + 1) if step.state == "running" else step for step in steps)


def shown_step(session: Session) -> str:
    """Return the step to show: of a failed checkout the one that failed."""
    if session.step is Step.FAILED:
        return next((record.name for record in session.steps if record.state == "failed"), "claim")
    return SHOWN[session.step]


def _record(steps: tuple[StepRecord, ...], came: Step, to: Step, now: datetime) -> tuple[StepRecord, ...]:
    name, following = SHOWN[came], SHOWN.get(to, "")
    if name == following and to is not Step.COMPLETED:
        return steps
    failed = to in {Step.RELEASING, Step.FAILED} and came is not Step.RELEASING
    ended = tuple(
        replace(step, state="failed" if failed else "done", finished_at=now) if step.state == "running" else step
        for step in steps
    )
    if to in {Step.COMPLETED, Step.FAILED}:
        return ended
    return (*ended, StepRecord(following, "running", 1, now))
