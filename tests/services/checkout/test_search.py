"""Looking for checkouts of any user, on both tables."""

import uuid
from datetime import timedelta

import pytest

from services.chassis import call
from services.checkout.domain import Line, Origin, Reason, Resource, ResourceRequest, Status, Step, UnknownCheckout
from services.checkout.search import Filter, Position
from tests.services.checkout.claims import moved

ABSENT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def add(sessions, make_claim, bring):
    """Add a checkout of a user in a step."""

    async def add(user, key="k", step=Step.CLAIMED, price=100, product=1):
        session = await sessions.claim(make_claim(user, key, lines=(Line("line", product, "Thing", price, 1),)))
        if step in {Step.COMPLETED, Step.FAILED}:
            return await bring(sessions, session, step)
        for one in (Step.RESERVED, Step.PAYING) if step is Step.PAYING else ():
            session = await sessions.move(session, moved(session, one))
        return session

    return add


EVERYTHING = Filter()


async def ids(sessions, wanted=EVERYTHING, limit=50, after=None):
    return [one.id for one in (await sessions.search(wanted, limit, after)).sessions]


async def test_every_checkout_is_listed_newest_first(sessions, add):
    """Running, completed and failed ones of all users are in one list, the newest first."""
    steps = (Step.COMPLETED, Step.CLAIMED, Step.FAILED, Step.PAYING)
    made = [await add(user, step=step) for user, step in enumerate(steps, 1)]
    assert await ids(sessions) == [one.id for one in reversed(made)]


async def test_pages_follow_each_other_without_gap_or_repeat(sessions, add):
    """Pages of any size give each checkout once, in one order, whatever their steps; the last page names no other."""
    made = [await add(user, step=(Step.COMPLETED, Step.CLAIMED, Step.FAILED)[user % 3]) for user in range(1, 8)]
    seen, after = [], None
    for _ in range(4):
        page = await sessions.search(Filter(), 2, after)
        seen += [one.id for one in page.sessions]
        after = page.following
    assert seen == [one.id for one in reversed(made)]
    assert (page.following, page.searched_to) == (None, None)


async def test_each_filter_lets_pass_what_it_names(sessions, add):
    """User, phase, reason, origin, product, time and total: each leaves the others out, and they hold together."""
    cheap = await add(1, step=Step.COMPLETED, price=5)
    paying = await add(2, step=Step.PAYING, price=50, product=7)
    failed = await add(3, step=Step.FAILED, price=500)
    expected = [
        (Filter(user_id=2), [paying]),
        (Filter(steps=frozenset({Step.COMPLETED})), [cheap]),
        (Filter(steps=frozenset({Step.FAILED, Step.PAYING})), [failed, paying]),
        (Filter(reason=failed.reason), [failed]),
        (Filter(reason=Reason.EMPTY_CART), []),
        (Filter(product_id=7), [paying]),
        (Filter(total_from=50, total_to=500), [failed, paying]),
        (Filter(total_to=49, steps=frozenset({Step.COMPLETED})), [cheap]),
        (Filter(created_from=paying.created_at, created_before=failed.created_at), [paying]),
        (Filter(origin=Origin.REST), [failed, paying, cheap]),
        (Filter(user_id=2, product_id=1), []),
    ]
    for wanted, passes in expected:
        assert await ids(sessions, wanted) == [one.id for one in passes], wanted
    assert await ids(sessions, Filter(origin=Origin.RESOURCE)) == []


@pytest.mark.real
async def test_a_resource_is_listed_and_found(real_sessions, user):
    """A checkout of a resource passes the filter of its origin, and its resource's name finds it, running or ended."""
    wanted = ResourceRequest(user, "k", ((1, 1),), Resource("u", "default", "first"))
    made = await real_sessions.accept(wanted)
    assert await ids(real_sessions, Filter(origin=Origin.RESOURCE)) == [made.id]
    assert await ids(real_sessions, Filter(origin=Origin.REST)) == []
    assert [one.id for one in await real_sessions.find_by("first", 9)] == [made.id]
    await real_sessions.move(made, moved(made, Step.FAILED, Reason.EMPTY_CART))
    assert [one.id for one in await real_sessions.find_by("first", 9)] == [made.id]
    assert await ids(real_sessions, Filter(origin=Origin.RESOURCE, reason=Reason.EMPTY_CART)) == [made.id]


@pytest.mark.real
async def test_a_request_and_a_trace_are_found(real_sessions, user, make_claim, bring):
    """The request id, the trace id and the whole traceparent of a log line find the checkout."""
    trace = "0123456789abcdef0123456789abcdef"
    asked = call.incoming("req-77", f"00-{trace}-0123456789abcdef-01", seconds=None)
    with call.within(asked):
        made = await real_sessions.claim(make_claim(user))
    for step in (Step.CLAIMED, Step.COMPLETED):
        if step is Step.COMPLETED:
            await bring(real_sessions, made, step)
        for text in ("req-77", trace, asked.traceparent):
            assert [one.id for one in await real_sessions.find_by(text, 9)] == [made.id], (step, text)


async def test_a_position_between_two_checkouts_needs_neither(sessions, add):
    """A page begins after a place in the list, also where the checkout of that place is gone."""
    first, second = await add(1), await add(2)
    between = Position(second.created_at - timedelta(microseconds=1), str(uuid.UUID(int=2**128 - 1)))
    assert await ids(sessions, after=between) == [first.id]


@pytest.mark.parametrize("step", [Step.CLAIMED, Step.COMPLETED, Step.FAILED])
async def test_a_checkout_is_found_by_each_of_its_names(sessions, add, step):
    """Its id, order id, key and mirror's name find it, in capitals too, whether it runs or has ended; nothing else does."""
    key = f"key-{uuid.uuid4()}"
    made, _ = await add(1, key, step), await add(2, step=step)
    for text in (made.id, made.id.upper(), made.order_id, key, f"co-{made.id}"):
        assert [one.id for one in await sessions.find_by(text, 50)] == [made.id], text
    assert await sessions.find_by("nobody's", 50) == []
    assert await sessions.find_by(ABSENT, 50) == []


async def test_a_key_of_two_users_finds_both(sessions, add):
    """A key belongs to a user, so that a search for it may find several; no more than asked for, the newest first."""
    made = [await add(user, "same") for user in (1, 2, 3)]
    assert [one.id for one in await sessions.find_by("same", 2)] == [made[2].id, made[1].id]


async def test_an_inspection_shows_the_driver_and_the_event(sessions, add):
    """A running checkout has a driver and no event; a completed one has its event, which waits to be published."""
    running, done = await add(1), await add(2, step=Step.COMPLETED)
    found = await sessions.inspect(running.id)
    assert (found.session.id, found.driven, found.event, found.cancel_requested_at) == (running.id, True, None, None)
    assert found.cancel_after > found.now
    event = (await sessions.inspect(done.id)).event
    assert (event.published_at, event.given_up_at, event.last_error) == (None, None, "")
    for absent in (ABSENT, "no-uuid", ""):
        with pytest.raises(UnknownCheckout):
            await sessions.inspect(absent)


async def test_a_cancellation_is_noted_for_what_runs_alone(sessions, add):
    """A running checkout has a reason to stop from then on, by whichever way it came; one that has ended stays as it is."""
    running, done = await add(1, step=Step.PAYING), await add(2, step=Step.COMPLETED)
    assert (await sessions.request_cancel_of(running.id)).cancel is Reason.CANCELLED
    asked = (await sessions.inspect(running.id)).cancel_requested_at
    assert (await sessions.request_cancel_of(running.id)).cancel is Reason.CANCELLED
    assert (await sessions.inspect(running.id)).cancel_requested_at == asked
    ended = await sessions.request_cancel_of(done.id)
    assert (ended.step, ended.cancel) == (Step.COMPLETED, None)
    for absent in (ABSENT, "no-uuid"):
        with pytest.raises(UnknownCheckout):
            await sessions.request_cancel_of(absent)


async def test_a_summary_counts_what_runs_and_what_ended(sessions, add):
    """Running checkouts are counted by step, ended ones by minute and outcome since a time, and finished steps are timed."""
    oldest = await add(1, step=Step.PAYING)
    await add(2, step=Step.PAYING)
    await add(3, step=Step.COMPLETED)
    failed = await add(4, step=Step.FAILED)
    summary = await sessions.summary(oldest.created_at - timedelta(minutes=1))
    assert [(one.step, one.count, one.oldest) for one in summary.running] == [(Step.PAYING, 2, oldest.created_at)]
    ended = {(one.status, one.reason, one.count) for one in summary.ended}
    assert ended == {(Status.COMPLETED, None, 1), (Status.FAILED, failed.reason, 1)}
    assert all(one.minute.second == 0 for one in summary.ended)
    assert {one.name for one in summary.steps} >= {"claim", "reserve", "pay"}
    assert all(0 <= one.p50 <= one.p99 for one in summary.steps)
    assert (await sessions.summary(summary.now + timedelta(minutes=1))).ended == ()
