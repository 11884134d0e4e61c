"""Kafka for any service: topics, and consumers that apply every message once its effect is there, in order.

Offsets are committed after the effect, so that a message comes again rather than being lost. A message that fails for
reasons of its own is tried a few times and then set aside in the dead-letter topic; while a part is away, nothing is set
aside: the consumer waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from services.chassis import call
from services.chassis.brokers import Brokers
from services.chassis.logs import Logger
from services.chassis.run import wait
from services.chassis.telemetry import Metrics
from services.errors import Transient, Unavailable

ATTEMPTS = 5
FETCH = 200
PAUSE_SECONDS = 0.2
MOST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was read."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    headers: dict[str, str]


Handle = Callable[[Sequence[Message]], Awaitable[None]]


async def make_topics(brokers: Brokers, topics: dict[str, int], *, replication: int) -> None:
    """Make the topics (name → partitions) that are missing; Unavailable when Kafka does not answer."""
    admin = AIOKafkaAdminClient(**brokers.options(), request_timeout_ms=10_000)
    try:
        await admin.start()
        there = set(await admin.list_topics())  # made by others, they are no reason to ask for the right to make them
        missing = [NewTopic(name, count, replication) for name, count in topics.items() if name not in there]
        if not missing:
            return
        reply = await admin.create_topics(missing)
        for name, code, *_ in reply.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise Unavailable(f"the topic {name} cannot be made: {error.__name__}")
    except KafkaError as error:
        raise Unavailable(f"Kafka does not answer at {brokers.servers}") from error
    finally:
        await admin.close()


def producer(brokers: Brokers, client_id: str) -> AIOKafkaProducer:
    """Make a producer whose acknowledgement means that every replica in sync has the message."""
    return AIOKafkaProducer(
        **brokers.options(),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=5000,
        linger_ms=0,
    )


class Consumer:
    """Reads a topic for a group and hands its messages on, a partition's batch at a time."""

    def __init__(
        self, brokers: Brokers, topic: str, group: str, *, handle: Handle, log: Logger, metrics: Metrics
    ) -> None:
        self._brokers = brokers
        self._topic = topic
        self._group = group
        self._handle = handle
        self._log = log
        self._dead = f"{topic}.dlq"
        self._consumed = metrics.counter("cartwright_messages_consumed_total", "Messages applied.")
        self._set_aside = metrics.counter("cartwright_messages_dead_total", "Messages set aside.")
        self.connected = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until told to stop; a broker that is away is waited for."""
        pause = PAUSE_SECONDS
        while not stopping.is_set():
            consumer = AIOKafkaConsumer(
                self._topic,
                **self._brokers.options(),
                group_id=self._group,
                client_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=6000,
                heartbeat_interval_ms=2000,
                metadata_max_age_ms=10_000,
            )
            try:
                await consumer.start()
                self.connected, pause = True, PAUSE_SECONDS
                await self._consume(consumer, stopping)
            except KafkaError as error:
                self._log.warning("kafka is away", error=repr(error))
            finally:
                self.connected = False
                await consumer.stop()
            await wait(stopping, pause)
            pause = min(MOST_PAUSE_SECONDS, pause * 2)

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        return "ok" if self.connected else "not connected"

    async def _consume(self, consumer: AIOKafkaConsumer, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            batches = await consumer.getmany(timeout_ms=200, max_records=FETCH)
            for partition, records in batches.items():
                messages = [
                    Message(
                        record.topic,
                        record.partition,
                        record.offset,
                        (record.key or b"").decode(errors="replace"),
                        record.value or b"",
                        {name: value.decode(errors="replace") for name, value in record.headers},
                    )
                    for record in records
                ]
                if not await self._apply(messages, stopping):
                    return
                if partition in consumer.assignment():  # otherwise it is another's now, who applies it again
                    await consumer.commit(
                        {TopicPartition(partition.topic, partition.partition): messages[-1].offset + 1}
                    )
                self._consumed.inc(len(messages))

    async def _apply(self, messages: Sequence[Message], stopping: asyncio.Event) -> bool:
        """Apply a batch; False when told to stop before it was done. A batch that fails is applied one by one."""
        failures, pause = 0, PAUSE_SECONDS
        while not stopping.is_set():
            first = messages[0].headers
            with call.within(call.incoming(first.get("request_id", ""), first.get("traceparent", ""), seconds=30)):
                try:
                    await self._handle(messages)
                except Transient as fault:
                    self._log.warning("waiting for a part that is away", error=str(fault))
                except Exception as error:  # noqa: BLE001 - it ends as a counted failure, and in the dead-letter topic
                    if len(messages) > 1:
                        return all([await self._apply([message], stopping) for message in messages])
                    failures += 1
                    self._log.exception("a message cannot be applied", offset=messages[0].offset, attempt=failures)
                    if failures >= ATTEMPTS:
                        await self._bury(messages[0], error)
                        return True
                else:
                    return True
            await wait(stopping, pause)
            pause = min(MOST_PAUSE_SECONDS, pause * 2)
        return False

    async def _bury(self, message: Message, error: Exception) -> None:
        """Put a message that cannot be applied into the dead-letter topic, with where it came from and why."""
        origin = {
            "original-topic": message.topic,
            "original-partition": str(message.partition),
            "original-offset": str(message.offset),
            "error": f"{type(error).__name__}: {error}"[:500],
        }
        async with producer(self._brokers, f"{self._group}-dlq") as sender:
            headers = [(name, value.encode()) for name, value in (message.headers | origin).items()]
            await sender.send_and_wait(self._dead, message.value, key=message.key.encode(), headers=headers)
        self._set_aside.inc()
