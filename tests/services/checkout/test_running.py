"""What a process knows of the checkouts that it drives."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.checkout import running as module
from services.checkout.domain import Origin, Session, Source, Status, Step
from services.checkout.running import Running


def checkout(**changes):
    """Give a checkout that runs."""
    session = Session(
        id="c1",
        user_id=7,
        origin=Origin.REST,
        key="k",
        source=Source.CART,
        status=Status.PROCESSING,
        step=Step.CLAIMED,
        lines=(),
        total_minor=1,
        currency="USD",
        order_id="o1",
        lease_epoch=1,
        version=1,
        created_at=datetime.now(UTC),
    )
    return replace(session, **changes)


ENDED = checkout(status=Status.COMPLETED, step=Step.COMPLETED, version=3)


@pytest.fixture
def running():
    """Nothing runs yet."""
    return Running()


async def end(running, session, *, result=None, error=None):
    """Drive a checkout until its task ends with this."""
    goes = asyncio.Event()

    async def drive():
        await goes.wait()
        if error:
            raise error
        return result

    task = asyncio.create_task(drive())
    running.add(session, task)
    assert (list(running.ids), len(running)) == ([session.id], 1)
    assert running.task(session.id) is task
    goes.set()
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert (list(running.ids), len(running), running.task(session.id)) == ([], 0, None)


async def test_the_end_is_kept_for_those_who_wait(running, monkeypatch):
    """A shopper's checkout is found by user and key while it runs and just after its end, and is forgotten then."""
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.01)
    await end(running, checkout(), result=ENDED)
    assert running.find(7, "k") == ENDED
    assert (running.find(8, "k"), running.find(7, "other")) == (None, None)
    async with asyncio.timeout(10):
        while running.find(7, "k"):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(("result", "error"), [(None, None), (checkout(), None), (None, ZeroDivisionError())])
async def test_what_was_stopped_is_not_kept(running, result, error):
    """A checkout that this process no longer drives, and that has not ended, is looked up in the database."""
    await end(running, checkout(), result=result, error=error)
    assert running.find(7, "k") is None


async def test_a_resources_checkout_has_no_shopper(running):
    """A resource's key is no shopper's: its checkout is not found by user and key."""
    await end(running, checkout(origin=Origin.RESOURCE), result=replace(ENDED, origin=Origin.RESOURCE))
    assert running.find(7, "k") is None
