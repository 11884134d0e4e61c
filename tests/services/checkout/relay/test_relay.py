"""The relay on the real outbox: everything that was committed is published, in order, by one relay at a time."""

import asyncio
import json

import asyncpg
import pytest
import structlog

from services.chassis.telemetry import Metrics
from services.checkout.domain import Step
from services.checkout.relay import ATTEMPTS, BATCH, Relay
from services.checkout.store import PostgresSessions
from services.checkout.store.outbox import PostgresOutbox
from services.errors import Unavailable
from tests.services.checkout.relay.conftest import INSERT

pytestmark = pytest.mark.real


class Crash(Exception):
    """The relay's process is killed here."""


@pytest.fixture
def lapse(db):
    """Let the lead of whoever has it run out."""

    async def lapse():
        await db.fetch("UPDATE outbox_leader SET until = clock_timestamp() - interval '1 ms'")

    return lapse


async def test_events_are_published_once_in_their_order(relay, topic, write):
    """All that waits is published in the order of its ids, a batch at a time, and then never again."""
    ids = await write(BATCH + 3)
    assert [await relay.run_once(), await relay.run_once(), await relay.run_once()] == [BATCH, 3, 0]
    assert topic.there == ids


async def test_a_completed_checkout_is_told_of(db, topic, user, make_claim, bring):
    """What the store writes when a checkout completes is what is published: under its user's key, with its ids."""
    sessions = PostgresSessions(db, Metrics(), owner="me", timeout=300)
    ended = await bring(sessions, await sessions.claim(make_claim(user)), Step.COMPLETED)
    told = []

    class Told:
        async def publish(self, events):
            told.extend(events)
            return [event.id for event in events]

    await Relay(PostgresOutbox(db, owner="a"), Told(), log=structlog.get_logger(), metrics=Metrics()).run_once()
    [event] = told
    payload = json.loads(event.payload)
    assert (event.key, payload["checkoutId"], payload["orderId"]) == (str(user), ended.id, ended.order_id)
    assert event.headers["event_id"] == payload["eventId"]
    assert [line["lineId"] for line in payload["lines"]] == ["l1", "l2"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_repeats_and_never_loses(new_relay, topic, write, lapse, when):
    """A relay killed before or after its events are there leaves them to the next, which publishes them all."""
    ids = await write(3)
    setattr(topic, when, Crash())
    with pytest.raises(Crash):
        await new_relay("killed").run_once()
    setattr(topic, when, None)
    await lapse()
    assert await new_relay("next").run_once() == 3
    assert topic.there == (ids * 2 if when == "after" else ids)


async def test_an_event_that_commits_late_is_not_lost(relay, topic, write, url):
    """An event whose transaction commits after one with a higher id is published too."""
    slow = await asyncpg.connect(url)
    async with slow.transaction():
        late = await slow.fetchval(INSERT, "1", "{}")
        [early] = await write()
        assert late < early
        assert await relay.run_once() == 1
    assert await relay.run_once() == 1
    assert topic.there == [early, late]
    await slow.close()


async def test_an_event_that_can_never_be_published_is_set_aside(relay, topic, write, row, metrics):
    """A poisonous event is tried a few times and then left, counted; the others flow at once."""
    bad, good = await write(2)
    topic.poison = {bad}
    assert await relay.run_once() == 1
    assert topic.there == [good]
    for _ in range(ATTEMPTS - 1):
        assert (await row(bad))["dead_at"] is None
        assert await relay.run_once() == 0
    dead = await row(bad)
    assert (dead["attempts"], dead["last_error"], dead["processed_at"]) == (ATTEMPTS, "ValueError('too large')", None)
    assert dead["dead_at"]
    topic.poison = set()
    assert await relay.run_once() == 0
    assert metrics.registry.get_sample_value("cartwright_outbox_dead_total") == 1
    assert metrics.registry.get_sample_value("cartwright_outbox_published_total") == 1


async def test_kafka_away_changes_nothing(relay, topic, write, row, metrics):
    """While Kafka is away events wait, however often they are tried, and none of them is set aside."""
    [event] = await write()
    topic.before = Unavailable("Kafka does not answer")
    for _ in range(ATTEMPTS + 1):
        with pytest.raises(Unavailable):
            await relay.run_once()
    waiting = await row(event)
    assert (waiting["attempts"], waiting["processed_at"], waiting["dead_at"]) == (0, None, None)
    assert metrics.registry.get_sample_value("cartwright_outbox_waiting") == 1
    topic.before = None
    assert await relay.run_once() == 1


async def test_one_relay_leads_and_another_takes_over(new_relay, topic, write, lapse, db):
    """While one relay leads another publishes nothing; once its lease has run out the other does."""
    leader, other = new_relay("leader"), new_relay("other")
    [first] = await write()
    assert await leader.run_once() == 1
    [second] = await write()
    assert await other.run_once() == 0
    await lapse()
    assert await other.run_once() == 1
    assert topic.there == [first, second]
    [lead] = await db.fetch("SELECT owner, epoch FROM outbox_leader")
    assert tuple(lead) == ("other", 2)


async def test_a_relay_that_does_not_lead_reports_nothing(new_relay, topic, write, lapse):
    """What waits is reported by the relay that leads: one that has lost the lead does not go on saying what it last saw."""
    metrics = Metrics()
    former = new_relay("former", metrics)
    await write()
    topic.before = Unavailable("Kafka does not answer")
    with pytest.raises(Unavailable):
        await former.run_once()
    assert metrics.registry.get_sample_value("cartwright_outbox_waiting") == 1
    topic.before = None
    await lapse()
    former._leads_until = 0.0  # half the lease is over
    assert await new_relay("next").run_once() == 1
    assert await former.run_once() == 0
    assert metrics.registry.get_sample_value("cartwright_outbox_waiting") == 0
    assert metrics.registry.get_sample_value("cartwright_outbox_oldest_seconds") == 0


async def test_rivals_for_the_lead(new_relay, topic, write):
    """Of relays that start at once one leads, and each event is published once."""
    ids = await write(5)
    counts = await asyncio.gather(*(new_relay(f"r{number}").run_once() for number in range(6)))
    assert sorted(counts) == [0, 0, 0, 0, 0, 5]
    assert topic.there == ids


async def test_a_leader_keeps_its_lead(new_relay, write, db):
    """A leader renews its lease before it ends, without a new epoch; nobody else takes it away."""
    leader = new_relay("leader")
    await leader.run_once()
    await db.fetch("UPDATE outbox_leader SET until = clock_timestamp() + interval '0.1 s'")
    leader._leads_until = 0.0  # half the lease is over
    await leader.run_once()
    [lead] = await db.fetch("SELECT owner, epoch, until > clock_timestamp() + interval '3 s' FROM outbox_leader")
    assert tuple(lead) == ("leader", 1, True)


async def test_a_relay_that_resigns_need_not_be_waited_for(new_relay, write):
    """After a resignation another leads at once; who does not lead can resign without harm."""
    leader, other = new_relay("leader"), new_relay("other")
    await leader.run_once()
    await write()
    await other.resign()
    assert await other.run_once() == 0
    await leader.resign()
    assert await other.run_once() == 1


async def test_old_events_are_swept(relay, write, row, db):
    """What was published long ago is deleted; what waits, is dead or was published lately is kept, whatever its age."""
    old, waiting, dead, fresh = await write(4)
    long_ago = "clock_timestamp() - interval '8 days'"
    await db.fetch(f"UPDATE outbox_events SET created_at = {long_ago}")
    await db.fetch(f"UPDATE outbox_events SET processed_at = {long_ago} WHERE id = $1", old)
    await db.fetch(f"UPDATE outbox_events SET dead_at = {long_ago} WHERE id = $1", dead)
    await db.fetch("UPDATE outbox_events SET processed_at = clock_timestamp() WHERE id = $1", fresh)
    assert [await relay.sweep(), await relay.sweep()] == [1, 0]
    left = await db.fetch("SELECT id FROM outbox_events ORDER BY id")
    assert [one["id"] for one in left] == [waiting, dead, fresh]
