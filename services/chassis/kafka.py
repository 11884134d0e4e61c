"""Kafka for any service: topics, producers, and words for what went wrong. Consumers are in services/chassis/consumer.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from services.chassis.brokers import Brokers
from services.errors import Unavailable

REQUEST_MS = 5000
"""How long a broker may take for one request of a producer, and how long a topic's metadata may be missing."""

REFUSED_MESSAGE = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    AssertionError,  # how the client library refuses a message
    AttributeError,
    TypeError,
    ValueError,
)
"""Errors of sending that are about the one message: another may pass."""


async def make_topics(brokers: Brokers, topics: dict[str, int], *, replication: int) -> None:
    """Create the topics (name → partitions) that do not exist; Unavailable says why Kafka did not create one."""
    admin = AIOKafkaAdminClient(**brokers.options(), request_timeout_ms=10_000)
    try:
        await admin.start()
        existing = set(await admin.list_topics())  # topics that others created need no right to create topics
        missing = [NewTopic(name, count, replication) for name, count in topics.items() if name not in existing]
        if not missing:
            return
        reply = await admin.create_topics(missing)
        for name, code, *_ in reply.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise Unavailable(f"the topic {name} cannot be created: {error.__name__}")
    except KafkaError as error:
        raise Unavailable(f"{problem(error)} at {brokers.servers}") from error
    finally:
        await admin.close()


def producer(brokers: Brokers, client_id: str) -> AIOKafkaProducer:
    """Create a producer whose acknowledgement means that every in-sync replica has the message.

    It is not idempotent. An idempotent producer of aiokafka never gives up a message, and after the broker has refused
    one (too large, say) every later message of the partition fails with OutOfOrderSequenceNumber. Messages of a partition
    keep their order without it, as aiokafka sends one request per partition at a time. Consumers ignore duplicates.
    """
    return AIOKafkaProducer(
        **brokers.options(), client_id=client_id, acks="all", request_timeout_ms=REQUEST_MS, linger_ms=0
    )


@asynccontextmanager
async def connected_producer(brokers: Brokers, client_id: str) -> AsyncIterator[AIOKafkaProducer]:
    """Start a producer, and stop it at the end, also where it could not start; KafkaError where Kafka does not answer."""
    sender = producer(brokers, client_id)
    try:
        await sender.start()
        yield sender
    finally:
        await sender.stop()


def is_outage(error: BaseException) -> bool:
    """Whether the error says that Kafka did not answer, rather than that it refused something."""
    if isinstance(error, UnknownTopicOrPartitionError):
        return False
    return isinstance(error, OSError | TimeoutError) or (isinstance(error, KafkaError) and error.retriable)


def problem(error: BaseException) -> str:
    """Say what went wrong with Kafka: it did not answer, the topic does not exist, or it refused, with its own words."""
    if isinstance(error, UnknownTopicOrPartitionError):
        return "the topic does not exist"
    if is_outage(error):
        return "Kafka does not answer"
    return f"Kafka refuses: {type(error).__name__}"
