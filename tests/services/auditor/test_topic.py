"""Looking for events in a real topic."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
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
    at = NOW + timedelta(minutes=number - 10)
    return Sent(f"event-{number}", at - timedelta(seconds=1), at)


async def test_what_the_topic_has_is_found_wherever_its_clock_was(topic, servers):
    """Events that the topic has are found, also one whose producer's clock was off; one that it does not have is missing."""
    looked = Topic(Brokers(servers), topic[0])
    assert await looked.missing([]) == frozenset()
    assert await looked.missing([sent(number) for number in range(3)]) == frozenset()
    assert await looked.missing([sent(number) for number in range(4)]) == {"event-3"}
    await looked.probe()


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
