"""Consumers on the real Kafka: every message is applied before it is committed, and none is lost or blocks the others."""

import asyncio
import secrets

import pytest
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from services.chassis import call, kafka
from services.chassis.brokers import Brokers
from services.chassis.env import process_environment
from services.chassis.telemetry import Metrics
from services.errors import OutcomeUnknown, Unavailable

pytestmark = pytest.mark.real
SECONDS = 20


@pytest.fixture(scope="session")
def servers(request):
    """The Kafka that KAFKA_BOOTSTRAP_SERVERS names, or else the platform's own."""
    given = process_environment().get("KAFKA_BOOTSTRAP_SERVERS")
    return given or request.getfixturevalue("platform").urls["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Try again at once."""
    monkeypatch.setattr(kafka, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(kafka, "MOST_PAUSE_SECONDS", 0.02)


class Line:
    """A topic of one partition with its dead-letter topic, and what tests do with it."""

    def __init__(self, servers):
        self.servers, self.brokers, self.topic = servers, Brokers(servers), f"t-{secrets.token_hex(6)}"
        self.dead = f"{self.topic}.dlq"
        self.group = f"{self.topic}-group"

    async def send(self, *values):
        """Send values, in order."""
        async with kafka.producer(self.brokers, "test") as sender:
            for value in values:
                headers = [("request_id", value.encode())]
                await sender.send_and_wait(self.topic, value.encode(), key=b"key", headers=headers)

    async def committed(self):
        """Give the offset from which the group would go on."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            there = (await admin.list_consumer_group_offsets(self.group)).get(TopicPartition(self.topic, 0))
            return there.offset if there else 0
        finally:
            await admin.close()

    async def read(self, topic):
        """Read a topic from its beginning to its present end."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partition = TopicPartition(topic, 0)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            return [await asyncio.wait_for(consumer.getone(), SECONDS) for _ in range(end)]
        finally:
            await consumer.stop()


@pytest.fixture
async def line(servers):
    """A topic that is there."""
    line = Line(servers)
    await kafka.make_topics(line.brokers, {line.topic: 1, line.dead: 1}, replication=1)
    return line


class Handler:
    """Applies messages; `faults` are what each value meets, one after the other, before it is applied."""

    def __init__(self):
        self.applied, self.tried, self.told, self.faults = [], [], [], {}
        self.hangs = None
        self.reached = asyncio.Event()

    async def __call__(self, messages):
        values = [message.value.decode() for message in messages]
        for value in values:
            self.tried.append(value)
            if value == self.hangs:
                self.reached.set()
                await asyncio.Event().wait()
            if self.faults.get(value):
                raise self.faults[value].pop(0)
        self.applied += values
        self.told += [(message, call.current()) for message in messages]


@pytest.fixture
async def handler():
    """A handler that applies everything."""
    return Handler()


@pytest.fixture
def metrics():
    """The consumer's metrics."""
    return Metrics()


@pytest.fixture
def consumer(line, handler, metrics):
    """A consumer of the topic; each run of it joins the group anew."""
    return kafka.Consumer(
        line.brokers, line.topic, line.group, handle=handler, log=structlog.get_logger(), metrics=metrics
    )


@pytest.fixture
def consume_until(consumer):
    """Let a consumer run until a condition holds, then stop it as a process is stopped."""

    async def consume_until(holds):
        stopping = asyncio.Event()
        running = asyncio.create_task(consumer.run(stopping))
        try:
            async with asyncio.timeout(SECONDS):
                while not await holds():  # noqa: ASYNC110 - the broker's state
                    await asyncio.sleep(0.02)
        finally:
            stopping.set()
            await running

    return consume_until


@pytest.fixture
def consume(consume_until, handler, line):
    """Let a consumer run until so many messages are applied and an offset is committed."""

    async def consume(number, offset):
        async def holds():
            return len(handler.applied) >= number and await line.committed() == offset

        await consume_until(holds)

    return consume


async def test_messages_are_applied_in_order_and_once(line, consume, handler, metrics):
    """Everything in a partition is applied in its order; after a restart only what came since."""
    await line.send("a", "b", "c")
    await consume(3, 3)
    await line.send("d")
    await consume(4, 4)
    assert handler.applied == ["a", "b", "c", "d"]
    assert metrics.registry.get_sample_value("cartwright_messages_consumed_total") == 4


async def test_a_message_says_where_it_came_from(line, consume, handler):
    """A handler is told topic, partition, offset, key and headers, and acts within the sender's request."""
    await line.send("a")
    await consume(1, 1)
    [(message, within)] = handler.told
    assert message == kafka.Message(line.topic, 0, 0, "key", b"a", {"request_id": "a"})
    assert (within.request_id, within.deadline is None) == ("a", False)


async def test_a_message_is_committed_after_its_effect(line, consumer, handler, consume):
    """A process that dies while it applies a message leaves it to the next, which applies it again."""
    await line.send("a")
    await consume(1, 1)
    await line.send("b")
    handler.hangs = "b"
    dying = asyncio.create_task(consumer.run(asyncio.Event()))
    await asyncio.wait_for(handler.reached.wait(), SECONDS)
    assert await line.committed() == 1
    dying.cancel()
    await asyncio.wait({dying})
    assert await line.committed() == 1
    handler.hangs = None
    await consume(2, 2)
    assert handler.applied == ["a", "b"]
    assert handler.tried == ["a", "b", "b"]


@pytest.mark.parametrize("fault", [Unavailable, OutcomeUnknown])
async def test_a_part_that_is_away_is_waited_for(line, consume, handler, fault):
    """However often a part is away, its message is applied in the end, before the next and never set aside."""
    handler.faults["a"] = [fault("away") for _ in range(2 * kafka.ATTEMPTS)]
    await line.send("a", "b")
    await consume(2, 2)
    assert handler.applied == ["a", "b"]
    assert await line.read(line.dead) == []


async def test_a_message_that_fails_a_few_times_is_applied(line, consume, handler):
    """A message that fails for reasons of its own, though not for good, is applied and not set aside."""
    handler.faults["a"] = [ValueError("odd")] * (kafka.ATTEMPTS - 1)
    await line.send("a")
    await consume(1, 1)
    assert await line.read(line.dead) == []


async def test_a_message_that_cannot_be_applied_is_set_aside(line, consume, handler, metrics):
    """It goes to the dead-letter topic with its content, its origin and the error; those around it are applied."""
    handler.faults["bad"] = [ValueError("no such thing")] * 99
    await line.send("a", "bad", "b")
    await consume(2, 3)
    await line.send("c")
    await consume(3, 4)
    assert handler.applied == ["a", "b", "c"]
    [dead] = await line.read(line.dead)
    assert (dead.key, dead.value) == (b"key", b"bad")
    assert dict(dead.headers) == {
        "request_id": b"bad",
        "original-topic": line.topic.encode(),
        "original-partition": b"0",
        "original-offset": b"1",
        "error": b"ValueError: no such thing",
    }
    assert kafka.ATTEMPTS <= handler.tried.count("bad") <= kafka.ATTEMPTS + 1  # once in its batch, then alone
    assert metrics.registry.get_sample_value("cartwright_messages_dead_total") == 1


async def test_a_stop_while_a_part_is_away_commits_nothing(line, consume, consume_until, handler):
    """A consumer told to stop while it waits for a part stops, and leaves the message to the next."""
    handler.faults["a"] = [Unavailable("away") for _ in range(10**4)]
    await line.send("a")

    async def tried():
        return len(handler.tried) > 1

    await consume_until(tried)
    assert await line.committed() == 0
    handler.faults.clear()
    await consume(1, 1)


async def test_readiness_says_whether_kafka_is_there(consumer):
    """A consumer is ready while it is connected, and not before or after."""
    stopping = asyncio.Event()
    assert await consumer.ready() == "not connected"
    running = asyncio.create_task(consumer.run(stopping))
    async with asyncio.timeout(SECONDS):
        while await consumer.ready() != "ok":  # noqa: ASYNC110 - the broker's state
            await asyncio.sleep(0.02)
    stopping.set()
    await running
    assert await consumer.ready() == "not connected"


async def test_topics_are_made_once(line):
    """Making topics that are there changes nothing, and makes those that are missing."""
    await line.send("a")
    await kafka.make_topics(line.brokers, {line.topic: 5, f"{line.topic}.more": 1}, replication=1)
    assert [one.value for one in await line.read(line.topic)] == [b"a"]
    assert await line.read(f"{line.topic}.more") == []


async def test_topics_that_are_there_need_no_right_to_make_them(line, monkeypatch):
    """Where all topics are there nobody is asked to make any: who may not make topics installs with those of others."""

    async def refused(*_):
        raise AssertionError("it was asked to make topics")

    monkeypatch.setattr(AIOKafkaAdminClient, "create_topics", refused)
    await kafka.make_topics(line.brokers, {line.topic: 1, line.dead: 1}, replication=1)


async def test_no_kafka_is_unavailable():
    """Where no broker answers, topics cannot be made yet, and that is said as such."""
    with pytest.raises(Unavailable):
        await kafka.make_topics(Brokers("127.0.0.1:1"), {"t": 1}, replication=1)
