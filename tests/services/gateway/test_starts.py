"""Checkouts that start together: each is answered as it ends, and nobody waits for the slowest."""

import asyncio

import pytest

from services.errors import OutcomeUnknown, Unavailable
from services.gateway.starts import again_wait_ms
from services.pb import checkout_pb2 as pb
from tests.services.gateway.backend import ASKED_AGAIN, FIRST_WAIT_MS, STORED

RUNNING = pb.StartCheckoutResult(answer=pb.Answer(checkout_id="c1", status=pb.PROCESSING))
PENDING = pb.StartCheckoutResult(pending=pb.Pending())


async def buy(gateway, key="k", user=1):
    """Start a checkout."""
    return await gateway.client.post(
        "/api/v1/checkout", json={"idempotency_key": key}, headers={"X-User-Id": str(user)}
    )


@pytest.mark.parametrize("first", [RUNNING, PENDING], ids=["running", "pending"])
async def test_a_slow_checkout_is_asked_for_again(gateway, backend, first):
    """A checkout that was still running is asked for again with its key; its end is no replay, though it came by a repeat."""
    backend.starts = [first, first]
    backend.answer.replayed = True
    response = await buy(gateway)
    assert (response.status, await response.read(), "Idempotent-Replayed" in response.headers) == (200, STORED, False)
    asked = backend.items("StartCheckouts")
    assert [(item.idempotency_key, item.wait_ms > 0) for [item] in asked] == [("k", True)] * 3


class Held(asyncio.Event):
    """A gate that counts the calls before it."""

    calls = 0

    async def wait(self):
        """Wait until it is set."""
        self.calls += 1
        return await super().wait()

    async def reached(self, calls):
        """Wait until so many calls have come."""
        async with asyncio.timeout(10):
            while self.calls < calls:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.005)


async def test_slow_checkouts_are_asked_for_seldom_and_hold_up_none_that_begins(gateway, backend):
    """Who asks again lets the service wait longer than who asks first. Those who begin meanwhile wait for none of them."""
    held = backend.gates[ASKED_AGAIN] = Held()
    slow = []
    for user in range(1, 10):  # one more than may be under way of those who ask first
        backend.starts = [RUNNING]
        slow.append(asyncio.create_task(buy(gateway, user=user)))
        await held.reached(user)
    quick = await buy(gateway, user=99)
    assert quick.status == 200
    held.set()
    await asyncio.gather(*slow)
    waits = {key: [] for key in range(1, 10)}
    for item in (item for items in backend.items("StartCheckouts") for item in items if item.user_id in waits):
        waits[item.user_id].append(item.wait_ms)
    assert all(first == FIRST_WAIT_MS < again <= 1000 for first, again in waits.values())


async def test_few_ask_again_together(gateway, backend):
    """However many begin together, those who ask again for their checkouts wait for few others."""
    backend.starts = [RUNNING] * 40
    answers = await asyncio.gather(*(buy(gateway, user=user) for user in range(1, 41)))
    assert {response.status for response in answers} == {200}
    again = [len(items) for items in backend.items("StartCheckouts") if items[0].wait_ms > FIRST_WAIT_MS]
    assert (sum(again), max(again) <= 16) == (40, True)


@pytest.mark.parametrize(
    ("left_ms", "wait_ms"),
    [([4800], 1000), ([4000, 3000], 1000), ([4000, 1200], 700), ([700, 4000], 250), ([0], 1000), ([0, 900], 400)],
)
def test_whoever_has_little_time_left_is_not_held_up_past_it(left_ms, wait_ms):
    """Those who ask again together wait no longer than the one with the least time can; half a second is for the way back."""
    assert again_wait_ms(left_ms) == wait_ms


async def test_what_has_not_been_claimed_in_time_is_unknown(gateway, backend, monkeypatch):
    """A request whose time is over before its checkout was claimed or refused is told to repeat it with the same key."""
    monkeypatch.setattr("services.gateway.edge.SECONDS", 1.0)
    backend.starts = [PENDING] * 1000
    response = await buy(gateway)
    assert response.status == 503
    assert "repeat the request with the same key" in (await response.json())["error"]


@pytest.mark.parametrize("fault", [Unavailable("away"), OutcomeUnknown("no answer")])
async def test_a_running_checkout_stays_known(gateway, backend, fault):
    """Where a repeat is not answered, what is known of the checkout is the answer: it runs, and where to look."""
    backend.starts = [RUNNING]
    backend.gates["StartCheckouts"] = asyncio.Event()
    asking = asyncio.create_task(buy(gateway))
    await backend.reached("StartCheckouts")
    backend.broken["StartCheckouts"] = fault
    backend.gates["StartCheckouts"].set()
    response = await asking
    assert (response.status, response.headers["Location"]) == (202, "/api/v1/checkout/c1")


async def test_starts_ride_together_and_each_says_whose_it_is(gateway, backend):
    """Checkouts that begin while others are under way go in one call, each with its own user, key, ids and time."""
    backend.gates["StartCheckouts"] = asyncio.Event()
    first = [asyncio.create_task(buy(gateway, f"first{user}", user)) for user in range(1, 9)]
    await backend.reached("StartCheckouts", items=8)
    rest = [asyncio.create_task(buy(gateway, f"rest{user}", user)) for user in range(11, 31)]
    async with asyncio.timeout(10):
        while gateway.metrics.registry.get_sample_value("cartwright_requests_under_way") < 28:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)
    backend.gates["StartCheckouts"].set()
    assert {response.status for response in await asyncio.gather(*first, *rest)} == {200}
    calls = backend.items("StartCheckouts")
    assert len(calls) < 28
    items = [item for one in calls for item in one]
    assert {(item.user_id, item.idempotency_key) for item in items} == {
        *((user, f"first{user}") for user in range(1, 9)),
        *((user, f"rest{user}") for user in range(11, 31)),
    }
    assert len({item.call.request_id for item in items}) == 28
    assert all(0 < item.call.timeout_ms <= 4800 for item in items)
