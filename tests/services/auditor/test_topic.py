"""Looking for events in a real topic."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from services.auditor.ports import Sent
from services.auditor.reading import CannotRead
from services.auditor.topic import Topic
from services.chassis.brokers import Brokers

pytestmark = pytest.mark.real
NOW = datetime.now(UTC)


@pytest.fixture(name="servers")
def servers_fixture(stores):
    """Where Kafka is."""
    return stores["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.fixture(name="topic")
async def topic_fixture(servers):
    """A topic of two partitions with three events, one a minute, of which the last was written by a clock that is an hour behind."""
    name = f"audited-{uuid.uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 2, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    for number, behind in enumerate((0, 0, 60)):
        at = NOW + timedelta(minutes=number - 10 - behind)
        headers = [("event_id", b"event-%d" % number)]
        stamp = int(at.timestamp() * 1000)
        await producer.send_and_wait(name, b"{}", partition=0, headers=headers, timestamp_ms=stamp)
    await producer.stop()
    yield name, admin
    await admin.delete_topics([name])
    await admin.close()


def sent(number):
    """Give an event that is marked as published by the database's clock."""
    return Sent(f"event-{number}", NOW + timedelta(minutes=number - 10))


@pytest.fixture(name="taken")
def taken_fixture(monkeypatch):
    """Give the counts of records that consumers take out of a topic, one for each time."""
    counts, getmany = [], AIOKafkaConsumer.getmany

    async def counted(*args, **kwargs):
        got = await getmany(*args, **kwargs)
        counts.append(sum(map(len, got.values())))
        return got

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", counted)
    return counts


async def test_what_the_topic_has_is_found_wherever_its_clock_was(topic, servers):
    """Events that the topic has are found, also one whose producer's clock was off; one that it does not have is missing."""
    looked = Topic(Brokers(servers), topic[0])
    assert await looked.missing([]) == frozenset()
    assert await looked.missing([sent(number) for number in range(3)]) == frozenset()
    assert await looked.missing([sent(number) for number in range(4)]) == {"event-3"}
    await looked.probe()


async def test_a_look_reads_the_topic_near_the_times_of_its_events(topic, servers, taken):
    """Events that are days apart are looked for where each of them must be, not in all that was published between them."""
    name, _ = topic
    old = NOW - timedelta(days=6)
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    for number in range(40_000):
        stamp = int((old + timedelta(seconds=12 * number)).timestamp() * 1000)
        await producer.send(name, b"{}", partition=1, headers=[("event_id", b"old-%d" % number)], timestamp_ms=stamp)
    await producer.stop()
    some = [Sent(f"old-{number}", old + timedelta(seconds=12 * number)) for number in (100, 39_000)]
    assert await Topic(Brokers(servers), name).missing([*some, sent(0)]) == frozenset()
    assert sum(taken) < 10_000
    assert await Topic(Brokers(servers), name).missing([*some, Sent("none", old + timedelta(days=3))]) == {"none"}
    assert sum(taken) < 20_000


async def test_a_probe_reads_a_record(topic, servers, taken):
    """A topic that can be found and not read is not taken for one that is read: the probe takes a record, where there is one."""
    await Topic(Brokers(servers), topic[0]).probe()
    assert sum(taken) == 1


async def test_what_the_topic_has_dropped_is_not_judged(topic, servers):
    """Where a topic has dropped its oldest records, an event of that time may have been among them; a later one may not."""
    name, admin = topic
    await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=1)})
    looked = Topic(Brokers(servers), name)
    assert await looked.missing([sent(0), sent(1)]) == frozenset()
    assert await looked.missing([sent(0), sent(1), sent(5)]) == {"event-5"}


async def test_a_topic_that_is_not_there_cannot_be_read(servers):
    """Without its topic nothing is said to be missing: the book cannot be read."""
    looked = Topic(Brokers(servers), "there-is-no-such-topic")
    with pytest.raises(CannotRead, match="topic"):
        await looked.missing([sent(0)])
    with pytest.raises(CannotRead, match="topic"):
        await Topic(Brokers("127.0.0.1:1"), "x").probe()
