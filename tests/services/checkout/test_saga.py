"""The saga's table, exhaustively."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.checkout.domain import Line, Origin, Payment, Reason, Reservation, Session, Status, Step, StepRecord
from services.checkout.saga import (
    TRANSITIONS,
    WRITTEN_LATE,
    Action,
    Move,
    accepted_records,
    after_payment,
    after_stock,
    apply,
    claimed_records,
    decide,
    first_records,
    shown_step,
    tried_again,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STOCK = (Action.RESERVE, Action.PIN, Action.CONFIRM, Action.RELEASE)


def session(step: Step = Step.CLAIMED) -> Session:
    """Make a session in a step."""
    return Session(
        id="c",
        user_id=1,
        origin=Origin.REST,
        key="k",
        status=Status.PROCESSING,
        step=step,
        lines=(Line("l", 1, "Laptop", 100, 2),),
        total_minor=200,
        currency="USD",
        order_id="o",
        lease_epoch=1,
        version=1,
        created_at=NOW,
        steps=first_records(NOW),
    )


def walk(*moves: Move) -> Session:
    """Take moves from the claim on."""
    now = session()
    for move in moves:
        now = apply(now, move, NOW)
    return now


def test_only_the_drawn_transitions_exist() -> None:
    """A step that the table does not have is refused, for every pair of steps."""
    for came, to in itertools.product(Step, Step):
        if to in TRANSITIONS[came]:
            assert apply(session(came), Move(to), NOW).step is to
        else:
            with pytest.raises(ValueError, match="does not go"):
                apply(session(came), Move(to), NOW)


def test_a_running_charge_is_never_abandoned() -> None:
    """From PAYING on nothing leads to RELEASING but an answer of payment, and after PAID nothing leads back."""
    for cancel in (None, Reason.TIMED_OUT, Reason.CANCELLED):
        assert decide(Step.PAYING, cancel) in {Action.CHARGE, Move(Step.CANCELLING, cancel)}
        assert decide(Step.CANCELLING, cancel) is Action.CANCEL_PAYMENT
        assert decide(Step.PAID, cancel) is Action.CONFIRM
    assert TRANSITIONS[Step.PAID] == {Step.COMPLETED}


@pytest.mark.parametrize("answer", list(Payment))
def test_undecided_is_not_refused(answer: Payment) -> None:
    """An undecided payment gives no move; captured goes forward, the others back."""
    move = after_payment(answer)
    assert (move is None) == (answer is Payment.INTENT)
    if move:
        assert move.to is (Step.PAID if answer is Payment.CAPTURED else Step.RELEASING)


def test_every_answer_of_stock_leads_to_a_drawn_transition_or_none() -> None:
    """What inventory says never leads where the table does not, and a refused confirm leads nowhere."""
    steps = {
        Action.RESERVE: Step.CLAIMED,
        Action.PIN: Step.RESERVED,
        Action.CONFIRM: Step.PAID,
        Action.RELEASE: Step.RELEASING,
    }
    for (action, step), answer in itertools.product(steps.items(), Reservation):
        move = after_stock(action, answer)
        assert move is None or move.to in TRANSITIONS[step]
    assert after_stock(Action.CONFIRM, Reservation.REFUSED) is None


def test_a_row_is_left_out_only_where_the_next_driver_repeats_the_same() -> None:
    """Only PAID may stay unwritten: its saga can go nowhere but forward, and PAYING asks for the same charge again."""
    assert {Step.PAID} == WRITTEN_LATE
    assert TRANSITIONS[Step.PAID] == {Step.COMPLETED}
    assert decide(Step.PAYING, None) is Action.CHARGE
    assert Step.PAYING not in WRITTEN_LATE


def test_a_time_out_keeps_its_reason() -> None:
    """A payment cancelled because time was up ends as TimedOut, at the step that failed."""
    end = walk(
        Move(Step.RESERVED),
        Move(Step.PAYING),
        Move(Step.CANCELLING, Reason.TIMED_OUT),
        Move(Step.RELEASING, Reason.CANCELLED),
        Move(Step.FAILED),
    )
    assert (end.reason, end.status, shown_step(end)) == (Reason.TIMED_OUT, Status.FAILED, "pay")


def test_a_cancel_that_comes_too_late_completes() -> None:
    """A checkout whose payment was captured before the cancel goes forward, without a reason."""
    end = walk(
        Move(Step.RESERVED),
        Move(Step.PAYING),
        Move(Step.CANCELLING, Reason.CANCELLED),
        Move(Step.PAID),
        Move(Step.COMPLETED),
    )
    assert (end.status, end.reason) == (Status.COMPLETED, None)
    assert [(step.name, step.state) for step in end.steps] == [
        ("claim", "done"),
        ("reserve", "done"),
        ("pay", "done"),
        ("confirm", "done"),
    ]


@pytest.mark.parametrize("why", [Reason.CANCELLED, Reason.TIMED_OUT])
def test_a_saga_that_is_to_stop_says_why(why: Reason) -> None:
    """Before its claim it fails, after it what it holds is released, while it pays the payment is cancelled: each for that reason."""
    assert decide(Step.ACCEPTED, why) == Move(Step.FAILED, why)
    assert decide(Step.CLAIMED, why) == decide(Step.RESERVED, why) == Move(Step.RELEASING, why)
    assert decide(Step.PAYING, why) == Move(Step.CANCELLING, why)


@pytest.mark.parametrize("step", [Step.COMPLETED, Step.FAILED])
def test_what_has_ended_has_nothing_to_do(step: Step) -> None:
    """A driver that asks what to do after the end has a bug, and hears of it."""
    with pytest.raises(ValueError, match=f"a saga in {step} has nothing to do"):
        decide(step, None)


def test_each_answer_of_payment_has_its_reason() -> None:
    """A declined payment and a cancelled one both release the stock, and the shopper hears which it was."""
    assert {answer: after_payment(answer) for answer in Payment} == {
        Payment.INTENT: None,
        Payment.CAPTURED: Move(Step.PAID),
        Payment.DECLINED: Move(Step.RELEASING, Reason.PAYMENT_DECLINED),
        Payment.CANCELLED: Move(Step.RELEASING, Reason.CANCELLED),
    }


def test_each_answer_of_stock_has_its_move() -> None:
    """What is held is pinned, what is pinned is paid, what expired or fell short is released, and each says why."""
    expired = Move(Step.RELEASING, Reason.RESERVATION_EXPIRED)
    moves = {(action, answer): after_stock(action, answer) for action in STOCK for answer in Reservation}
    assert {asked: move for asked, move in moves.items() if move} == {
        (Action.RESERVE, Reservation.HELD): Move(Step.RESERVED),
        (Action.RESERVE, Reservation.PINNED): Move(Step.PAYING),
        (Action.RESERVE, Reservation.INSUFFICIENT): Move(Step.RELEASING, Reason.OUT_OF_STOCK),
        (Action.RESERVE, Reservation.EXPIRED): expired,
        (Action.RESERVE, Reservation.RELEASED): expired,
        (Action.PIN, Reservation.PINNED): Move(Step.PAYING),
        (Action.PIN, Reservation.EXPIRED): expired,
        (Action.PIN, Reservation.RELEASED): expired,
        (Action.PIN, Reservation.REFUSED): expired,
        (Action.CONFIRM, Reservation.CONFIRMED): Move(Step.COMPLETED),
        (Action.RELEASE, Reservation.RELEASED): Move(Step.FAILED),
        (Action.RELEASE, Reservation.EXPIRED): Move(Step.FAILED),
    }


def test_a_move_keeps_what_is_known() -> None:
    """On its way a checkout is processing; it keeps what its last attempt met until a move says more; a decline is its reason."""
    met = replace(session(Step.PAYING), last_error="bank is away", reason=Reason.TIMED_OUT)
    moved = apply(met, Move(Step.RELEASING, Reason.PAYMENT_DECLINED), NOW)
    assert (moved.status, moved.reason, moved.last_error) == (
        Status.PROCESSING,
        Reason.PAYMENT_DECLINED,
        "bank is away",
    )
    assert apply(met, Move(Step.RELEASING, None, "details"), NOW).last_error == "details"


def test_the_records_say_when() -> None:
    """Each step has the time at which it began, the first attempt is the first, and what is done has the time of its end."""
    later = datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC)
    accepted = StepRecord("claim", "running", 1, NOW)
    assert accepted_records(NOW) == (accepted,)
    reserving = StepRecord("reserve", "running", 1, later)
    assert claimed_records((accepted,), later) == (StepRecord("claim", "done", 1, NOW, later), reserving)
    assert first_records(later) == (StepRecord("claim", "done", 1, later, later), reserving)
    paying = apply(session(), Move(Step.PAYING), later)
    assert paying.steps[-2:] == (StepRecord("reserve", "done", 1, NOW, later), StepRecord("pay", "running", 1, later))


def test_another_attempt_counts_for_the_running_step_alone() -> None:
    """What is done has as many attempts as it took."""
    done, running = first_records(NOW)
    assert tried_again((done, running)) == (done, replace(running, attempts=2))


def test_a_failure_without_a_failed_step_failed_at_its_claim() -> None:
    """A checkout that was barred before it began has no step that failed."""
    assert shown_step(replace(session(), step=Step.FAILED, steps=())) == "claim"
