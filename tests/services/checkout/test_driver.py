"""The driver on both stores: a step is written once, whatever becomes of the reply, and silence decides nothing."""

import asyncio
from dataclasses import replace

import pytest

from services.checkout.domain import LostLease, Payment, Reason, Reservation, Status, Step
from services.errors import InternalError, Invalid, OutcomeUnknown, Unavailable


class LostReply:
    """A store that loses the reply to every first write of a step, after it was made or before."""

    def __init__(self, sessions, *, made):
        self._sessions, self._made, self._lost = sessions, made, set()

    def __getattr__(self, name):
        return getattr(self._sessions, name)

    async def move(self, before, after):
        if after.step in self._lost:
            return await self._sessions.move(before, after)
        self._lost.add(after.step)
        if self._made:
            await self._sessions.move(before, after)
        raise OutcomeUnknown("the connection to the database was lost")


@pytest.fixture
async def session(sessions, user, make_claim):
    """A checkout that has just been claimed."""
    return await sessions.claim(make_claim(user))


@pytest.mark.parametrize("made", [True, False])
async def test_a_lost_reply_to_a_step_is_looked_up(session, table, new_driver, payments, made):
    """A step whose reply was lost is taken once: the row says whether it was, and the payment is charged once."""
    ended = await new_driver(LostReply(table.sessions(), made=made)).advance(session)
    assert (ended.status, ended.version) == (Status.COMPLETED, session.version + 2)
    assert payments.charged == ["k"]
    assert len(await table.events()) == 1


async def test_a_lost_reply_after_which_another_drives_is_a_lost_lease(sessions, session, table, new_driver):
    """Where the row has another driver by the time it is looked up, this one stops."""

    class Overtaken(LostReply):
        async def load(self, checkout_id):
            await table.lapse(checkout_id)
            await table.sessions("other").take_over(1)
            return await sessions.load(checkout_id)

    with pytest.raises(LostLease):
        await new_driver(Overtaken(sessions, made=True)).advance(session)


@pytest.mark.parametrize("fault", [Unavailable("payment is away"), OutcomeUnknown("no answer")])
async def test_a_part_that_is_away_parks_the_saga(sessions, session, new_driver, payments, fault):
    """A fault of another part stops the saga before the step it could not take, and gives its lease up."""
    payments.faults["k"] = fault
    with pytest.raises(type(fault)):
        await new_driver(sessions).advance(session)
    parked = await sessions.load(session.id)
    assert (parked.step, parked.status, parked.attempts) == (Step.PAYING, Status.PROCESSING, 1)


@pytest.mark.parametrize("error", [InternalError(), Invalid("another payment"), ZeroDivisionError("secret")])
async def test_an_unexpected_failure_is_an_unknown_outcome(sessions, session, table, new_driver, payments, error):
    """A charge that fails unexpectedly is neither paid nor refused: it is sent once, and the saga is parked where it is."""
    payments.faults["k"] = error
    with pytest.raises(type(error)):
        await new_driver(sessions).advance(session)
    parked = await sessions.load(session.id)
    assert (parked.step, parked.status, parked.attempts, payments.charged) == (Step.PAYING, Status.PROCESSING, 1, ["k"])
    assert "secret" not in await table.error(session.id)
    assert (await new_driver(sessions).advance(parked)).status is Status.COMPLETED


async def test_an_undecided_payment_is_asked_again(sessions, session, new_driver, payments):
    """A payment without an outcome is neither paid nor declined: the saga waits where it is."""
    payments.answer = Payment.INTENT
    with pytest.raises(OutcomeUnknown):
        await new_driver(sessions).advance(session)
    assert (await sessions.load(session.id)).step is Step.PAYING
    payments.answer = Payment.CAPTURED
    assert (await new_driver(sessions).advance(await sessions.load(session.id))).status is Status.COMPLETED


async def test_a_declined_payment_releases_the_stock(sessions, session, new_driver, payments, stock):
    """A checkout whose payment is declined fails once its stock has been given back."""
    payments.answer = Payment.DECLINED
    assert (await new_driver(sessions).advance(session)).status is Status.FAILED
    assert stock.asked == ["reserve", "release"]


async def test_nothing_is_charged_before_the_stock_is_pinned(sessions, session, new_driver, payments, stock):
    """A reservation that expired before it was pinned ends the checkout without a charge."""
    stock.answers |= {"reserve": Reservation.HELD, "pin": Reservation.EXPIRED}
    assert (await new_driver(sessions).advance(session)).status is Status.FAILED
    assert payments.charged == []


async def test_the_step_is_written_before_the_charge(sessions, session, new_driver, payments):
    """When the charge is sent the row already says that it may have been."""
    steps = []

    async def look():
        steps.append((await sessions.load(session.id)).step)

    payments.rivals["k"] = look
    await new_driver(sessions).advance(session)
    assert steps == [Step.PAYING]


class Written:
    """A store that notes which steps are written, and in which its process is killed."""

    def __init__(self, sessions, *, killed_before=None):
        self._sessions, self._killed_before, self.steps = sessions, killed_before, []

    def __getattr__(self, name):
        return getattr(self._sessions, name)

    async def move(self, before, after):
        if after.step is self._killed_before:
            raise asyncio.CancelledError
        self.steps.append(after.step)
        return await self._sessions.move(before, after)


async def test_a_saga_that_goes_straight_on_writes_two_rows(sessions, session, new_driver, stock):
    """A purchase that nothing stops writes that the charge may have been sent, and its end."""
    written = Written(sessions)
    ended = await new_driver(written).advance(session)
    assert written.steps == [Step.PAYING, Step.COMPLETED]
    assert stock.asked == ["reserve", "confirm"]
    shown = [(step.name, step.state, bool(step.finished_at)) for step in ended.steps]
    assert shown == [(name, "done", True) for name in ("claim", "reserve", "pay", "confirm")]
    assert await sessions.load(session.id) == ended


async def test_an_inventory_of_before_is_asked_to_pin(sessions, session, new_driver, stock):
    """Where the reserve only holds the stock, as before an update of inventory, it is pinned by a call of its own."""
    stock.answers["reserve"] = Reservation.HELD
    written = Written(sessions)
    assert (await new_driver(written).advance(session)).status is Status.COMPLETED
    assert written.steps == [Step.RESERVED, Step.PAYING, Step.COMPLETED]
    assert stock.asked == ["reserve", "pin", "confirm"]


async def test_a_confirm_that_waits_is_shown_as_paid(sessions, session, new_driver, stock):
    """Where the confirm does not follow the charge at once, the row says that the payment is captured, and what is tried."""
    stock.answers["confirm"] = Reservation.REFUSED
    with pytest.raises(OutcomeUnknown):
        await new_driver(sessions).advance(session)
    parked = await sessions.load(session.id)
    assert (parked.step, parked.status, parked.attempts) == (Step.PAID, Status.PROCESSING, 1)
    shown = [(step.name, step.state, step.attempts) for step in parked.steps]
    assert shown == [("claim", "done", 1), ("reserve", "done", 1), ("pay", "done", 1), ("confirm", "running", 2)]
    stock.answers["confirm"] = Reservation.CONFIRMED
    assert (await new_driver(sessions).advance(parked)).status is Status.COMPLETED


@pytest.mark.parametrize("step", [Step.PAYING, Step.COMPLETED])
async def test_a_driver_killed_before_a_row_is_found_by_the_next(table, session, new_driver, payments, stock, step):
    """A driver that is killed after a call and before the row leaves a saga whose calls are repeated, and which ends once."""
    with pytest.raises(asyncio.CancelledError):
        await new_driver(Written(table.sessions(), killed_before=step)).advance(session)
    await table.lapse(session.id)
    [taken] = await table.sessions("other").take_over(1)
    assert (await new_driver(table.sessions("other")).advance(taken)).status is Status.COMPLETED
    again = ["reserve", "reserve", "confirm"] if step is Step.PAYING else ["reserve", "confirm", "confirm"]
    assert (stock.asked, set(payments.charged)) == (again, {"k"})
    assert len(await table.events()) == 1


async def test_a_cancel_before_the_charge_stops_it(table, user, make_claim, new_driver, payments, stock):
    """A saga whose time is up once its stock is pinned cancels the payment, which was never sent, and gives the stock back."""
    sessions = table.sessions()
    session = await sessions.claim(make_claim(user))

    class Late(Written):
        async def move(self, before, after):
            return replace(await super().move(before, after), cancel=Reason.TIMED_OUT)

    ended = await new_driver(Late(sessions)).advance(session)
    assert (ended.status, ended.reason, payments.charged) == (Status.FAILED, Reason.TIMED_OUT, [])
    assert stock.asked == ["reserve", "release"]


async def test_a_checkout_whose_time_is_up_fails(table, user, make_claim, new_driver, stock):
    """Past its time a checkout takes no further step but back, and says why."""
    late = table.sessions(timeout=-1)
    session = await late.claim(make_claim(user))
    assert (await new_driver(late).advance(session)).reason is Reason.TIMED_OUT
    assert stock.asked == ["release"]
