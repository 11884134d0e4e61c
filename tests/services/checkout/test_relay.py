"""The relay on the real outbox: everything that was committed is published, in order, by one relay at a time."""

import asyncio
import json
import secrets

import asyncpg
import pytest
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.chassis import kafka as chassis_kafka
from services.chassis.brokers import Brokers
from services.chassis.env import process_environment
from services.chassis.kafka import make_topics
from services.chassis.telemetry import Metrics
from services.checkout.domain import Step
from services.checkout.relay import ATTEMPTS, BATCH, KafkaPublisher, Relay
from services.checkout.store import PostgresSessions
from services.errors import Unavailable

pytestmark = pytest.mark.real

INSERT = """
INSERT INTO checkout.outbox_events (event_id, event_type, aggregate_id, partition_key, payload, headers)
VALUES (gen_random_uuid(), 'checkout.completed', gen_random_uuid(), $1, $2, '{"event_id": "e"}') RETURNING id"""


class Crash(Exception):
    """The relay's process is killed here."""


class MemoryTopic:
    """Fits the port Publisher; `before` and `after` are what ends a call before or after its events are there."""

    def __init__(self):
        self.there, self.poison = [], set()
        self.before = self.after = None

    async def publish(self, events):
        if self.before:
            raise self.before
        good = [event.id for event in events if event.id not in self.poison]
        self.there += good
        if self.after:
            raise self.after
        return [event.id if event.id in good else ValueError("too large") for event in events]


@pytest.fixture
def topic():
    """A topic that takes everything."""
    return MemoryTopic()


@pytest.fixture
def metrics():
    """The metrics of one relay."""
    return Metrics()


@pytest.fixture
def new_relay(db, topic):
    """Give a relay of a process."""

    def new_relay(owner="a", metrics=None, publisher=topic):
        return Relay(db, publisher, owner=owner, log=structlog.get_logger(), metrics=metrics or Metrics())

    return new_relay


@pytest.fixture
def relay(new_relay, metrics):
    """The relay."""
    return new_relay(metrics=metrics)


@pytest.fixture
def write(db):
    """Commit events, and give their ids."""

    async def write(number=1, payload="{}"):
        return [(await db.fetch(INSERT, "1", payload))[0]["id"] for _ in range(number)]

    return write


@pytest.fixture
def row(db):
    """Give the row of an event."""

    async def row(event_id):
        return (await db.fetch("SELECT * FROM outbox_events WHERE id = $1", event_id))[0]

    return row


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

    await Relay(db, Told(), owner="a", log=structlog.get_logger(), metrics=Metrics()).run_once()
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


@pytest.fixture
def kafka(request):
    """The Kafka that KAFKA_BOOTSTRAP_SERVERS names, or else the platform's own."""
    given = process_environment().get("KAFKA_BOOTSTRAP_SERVERS")
    return given or request.getfixturevalue("platform").urls["KAFKA_BOOTSTRAP_SERVERS"]


async def test_kafka_gets_every_event_but_what_it_cannot_take(new_relay, write, row, kafka, eventually):
    """On the real Kafka events arrive in order with key and headers; one that is too large does not hold them up."""
    name = f"relay-{secrets.token_hex(4)}"
    await make_topics(Brokers(kafka), {name: 1}, replication=1)
    publisher = KafkaPublisher(Brokers(kafka), name)
    relay = new_relay(publisher=publisher)
    first = await write(2, '{"n": 1}')
    [large] = await write(1, json.dumps({"n": "x" * 2_000_000}))
    last = await write(2, '{"n": 3}')
    try:
        assert await relay.run_once() == 4
        assert await publisher.ready() == "ok"
    finally:
        await publisher.close()
    consumer = AIOKafkaConsumer(name, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        read = [await asyncio.wait_for(consumer.getone(), 10) for _ in range(4)]
    finally:
        await consumer.stop()
    assert [json.loads(one.value)["n"] for one in read] == [1, 1, 3, 3]
    assert {(one.key, one.headers) for one in read} == {(b"1", (("event_id", b"e"),))}
    assert all([(await row(event_id))["processed_at"] for event_id in first + last])
    assert "MessageSizeTooLarge" in (await row(large))["last_error"]


async def test_a_kafka_that_does_not_answer_is_unavailable(new_relay, write, row):
    """Where no broker is, nothing is known of the events, and they wait."""
    [event] = await write()
    publisher = KafkaPublisher(Brokers("127.0.0.1:1"), "nowhere")
    with pytest.raises(Unavailable):
        await new_relay(publisher=publisher).run_once()
    assert (await row(event))["attempts"] == 0
    assert await publisher.ready() == "Kafka does not answer (nowhere)"


async def test_an_event_that_the_broker_refuses_holds_up_no_other(new_relay, write, row, kafka):
    """A broker may take less than the client library sends: the event is left in the end, and the others are published."""
    name = f"relay-{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "20000"})])
    await admin.close()
    publisher = KafkaPublisher(Brokers(kafka), name)
    relay = new_relay(publisher=publisher)
    [large] = await write(1, json.dumps({"n": "x" * 100_000}))
    good = await write(2, '{"n": 1}')
    try:
        assert await relay.run_once() == 2
        for _ in range(ATTEMPTS - 1):
            assert await relay.run_once() == 0
        later = await write(1, '{"n": 2}')
        assert await relay.run_once() == 1
    finally:
        await publisher.close()
    assert (await row(large))["dead_at"]
    assert all([(await row(event_id))["processed_at"] for event_id in good + later])


async def test_a_topic_that_does_not_exist_is_not_called_an_outage(new_relay, write, row, kafka, monkeypatch):
    """Events wait for their topic, the readiness page says that it is missing, and once it exists they are published."""
    monkeypatch.setattr(chassis_kafka, "REQUEST_MS", 1000)
    name = f"relay-{secrets.token_hex(4)}"
    publisher = KafkaPublisher(Brokers(kafka), name)
    relay = new_relay(publisher=publisher)
    [event] = await write()
    try:
        for _ in range(ATTEMPTS + 1):
            with pytest.raises(Unavailable, match="the topic does not exist"):
                await relay.run_once()
        assert await publisher.ready() == f"the topic does not exist ({name})"
        assert (await row(event))["dead_at"] is None
        await make_topics(Brokers(kafka), {name: 1}, replication=1)
        assert await relay.run_once() == 1
    finally:
        await publisher.close()
