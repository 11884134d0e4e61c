"""Topics and producers on the real Kafka."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from services.chassis import kafka
from services.chassis.brokers import Brokers
from services.errors import Unavailable

pytestmark = pytest.mark.real


async def test_topics_are_made_once(line):
    """Creating topics that exist changes nothing, and creates those that are missing."""
    await line.send("a")
    await kafka.make_topics(line.brokers, {line.topic: 5, f"{line.topic}.more": 1}, replication=1)
    assert [one.value for one in await line.read(line.topic)] == [b"a"]
    assert await line.read(f"{line.topic}.more") == []


async def test_topics_that_are_there_need_no_right_to_make_them(line, monkeypatch):
    """Where all topics exist none is created: who may not create topics installs with those of others."""

    async def refused(*_):
        raise AssertionError("it was asked to create topics")

    monkeypatch.setattr(AIOKafkaAdminClient, "create_topics", refused)
    await kafka.make_topics(line.brokers, {line.topic: 1, line.dead: 1}, replication=1)


async def test_no_kafka_is_unavailable():
    """Where no broker answers, topics cannot be created yet, and that is said as such."""
    with pytest.raises(Unavailable, match="Kafka does not answer at"):
        await kafka.make_topics(Brokers("127.0.0.1:1"), {"t": 1}, replication=1)


async def test_a_topic_that_cannot_be_created_is_named(line):
    """A refusal by Kafka says which topic and why, and is not called an outage."""
    with pytest.raises(Unavailable, match=r"the topic a b cannot be created: InvalidTopicError"):
        await kafka.make_topics(line.brokers, {"a b": 1}, replication=1)


async def test_a_refused_message_stops_no_other(line):
    """After the broker has refused a message as too large, the same producer goes on with the next."""
    topic = f"{line.topic}.small"
    admin = AIOKafkaAdminClient(bootstrap_servers=line.servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "20000"})])
    await admin.close()
    async with kafka.connected_producer(line.brokers, "test") as sender:
        await sender.send_and_wait(topic, b"a")
        with pytest.raises(MessageSizeTooLargeError):
            await sender.send_and_wait(topic, b"x" * 100_000)
        await sender.send_and_wait(topic, b"b")
    assert [one.value for one in await line.read(topic)] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KafkaConnectionError(), "Kafka does not answer"),
        (TimeoutError(), "Kafka does not answer"),
        (UnknownTopicOrPartitionError(), "the topic does not exist"),
        (TopicAuthorizationFailedError(), "Kafka refuses: TopicAuthorizationFailedError"),
        (MessageSizeTooLargeError(), "Kafka refuses: MessageSizeTooLargeError"),
    ],
)
def test_only_an_outage_is_called_one(error, said):
    """A missing topic and a refusal are not taken for a Kafka that does not answer."""
    assert kafka.problem(error) == said


async def test_an_acknowledgement_is_that_of_every_replica(line):
    """A producer asks for the word of all in-sync replicas (acks=-1): that of a lone broker is lost with it."""
    async with kafka.connected_producer(line.brokers, "test") as sender:
        assert sender._sender._acks == -1
