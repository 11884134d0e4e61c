"""Topics on the real Kafka, and consumers of them; a server of HTTP whose answers a test holds."""

import asyncio
import secrets
import struct

import pytest
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from aiokafka.record.util import calc_crc32c

from services.chassis import call, consumer, kafka, partition
from services.chassis.brokers import Brokers
from services.chassis.telemetry import Metrics
from tests.services.chassis.held import Place

SECONDS = 30
TOPIC, LITERAL, WRITE, DENY = 2, 3, 4, 2  # Kafka's numbers of resource type, pattern type, operation and permission


@pytest.fixture
def logs():
    """Give the log lines, as they come."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def no_pauses(monkeypatch):
    """Try again at once, and do not wait long for a topic that does not exist."""
    monkeypatch.setattr(kafka, "REQUEST_MS", 1000)
    for module in (consumer, partition):
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
        monkeypatch.setattr(module, "MAX_PAUSE_SECONDS", 0.02)


class Line:
    """A topic with its dead-letter topic, and what tests do with it."""

    def __init__(self, servers):
        self.servers, self.brokers, self.topic = servers, Brokers(servers), f"t-{secrets.token_hex(6)}"
        self.dead = f"{self.topic}.dlq"
        self.group = f"{self.topic}-group"

    async def send(self, *values, partition=0):
        """Send values, in order."""
        async with kafka.connected_producer(self.brokers, "test") as sender:
            for value in values:
                headers = [("request_id", value.encode())]
                await sender.send_and_wait(self.topic, value.encode(), key=b"key", headers=headers, partition=partition)

    async def send_record(self, key, value, headers=(), timestamp=None):
        """Send a message of any shape, which a producer's own checks would refuse."""
        async with kafka.connected_producer(self.brokers, "test") as sender:
            batch = sender.create_batch()
            assert batch.append(key=key, value=value, timestamp=timestamp, headers=list(headers))
            batch.close()
            await (await sender.send_batch(batch, self.topic, partition=0))

    async def send_undecodable(self, value):
        """Send a message with a header whose name is not UTF-8, which no Python client can encode."""
        async with kafka.connected_producer(self.brokers, "test") as sender:
            batch = sender.create_batch()
            batch.append(key=b"key", value=value, timestamp=None, headers=[("HEADERNAME", b"v")])
            batch.close()
            encoded = bytearray(batch._build())
            at = encoded.index(b"HEADERNAME")
            encoded[at : at + 2] = b"\xff\xfe"
            struct.pack_into(">I", encoded, 17, calc_crc32c(bytes(encoded[21:])))  # where record batches have their CRC
            batch._build = lambda: bytes(encoded)
            batch._set_producer_state = lambda *_: None
            await (await sender.send_batch(batch, self.topic, partition=0))

    async def forbid(self, topic, *, allow_again=False):
        """Forbid everybody to write to a topic, or take that back."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            request = DeleteAclsRequest if allow_again else CreateAclsRequest
            reply = await admin._send_to_controller(request(TOPIC, topic, LITERAL, "User:*", "*", WRITE, DENY))
            errors = reply.filter_responses if allow_again else reply.creation_responses
            assert [code for code, *_ in errors] == [0], errors
        finally:
            await admin.close()

    async def committed(self, partition=0):
        """Give the offset from which the group would go on."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            there = (await admin.list_consumer_group_offsets(self.group)).get(TopicPartition(self.topic, partition))
            return there.offset if there else 0
        finally:
            await admin.close()

    async def read(self, topic):
        """Read a topic of one partition from its beginning to its present end."""
        reader = AIOKafkaConsumer(bootstrap_servers=self.servers, auto_offset_reset="earliest")
        await reader.start()
        try:
            place = TopicPartition(topic, 0)
            reader.assign([place])
            end = (await reader.end_offsets([place]))[place]
            return [await asyncio.wait_for(reader.getone(), SECONDS) for _ in range(end)]
        finally:
            await reader.stop()

    async def dead_letters(self):
        """Read the dead-letter topic."""
        return await self.read(self.dead)


@pytest.fixture
async def line(stores, no_pauses):
    """A topic of one partition, with its dead-letter topic."""
    line = Line(stores["KAFKA_BOOTSTRAP_SERVERS"])
    await kafka.make_topics(line.brokers, {line.topic: 1, line.dead: 1}, replication=1)
    return line


@pytest.fixture
async def bare_line(stores, no_pauses):
    """A topic of two partitions, without a dead-letter topic."""
    line = Line(stores["KAFKA_BOOTSTRAP_SERVERS"])
    await kafka.make_topics(line.brokers, {line.topic: 2}, replication=1)
    return line


class Handler:
    """Applies messages; `faults` are what each value meets, one after the other, before it is applied."""

    def __init__(self):
        self.applied, self.tried, self.told, self.faults = [], [], [], {}
        self.hangs = None
        self.reached = asyncio.Event()

    async def __call__(self, messages):
        values = [(message.value or b"").decode(errors="replace") for message in messages]
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
def new_consumer(handler, metrics, logs):
    """Give a consumer of a topic; each run of it joins the group anew."""

    def new_consumer(line, metrics=metrics, handle=handler):
        log = structlog.get_logger()
        return consumer.Consumer(line.brokers, line.topic, line.group, handle=handle, log=log, metrics=metrics)

    return new_consumer


@pytest.fixture
def until():
    """Wait for a condition."""

    async def until(holds):
        async with asyncio.timeout(SECONDS):
            while not await holds():  # noqa: ASYNC110 - the broker's state
                await asyncio.sleep(0.02)

    return until


@pytest.fixture
def consume_until(until):
    """Let a consumer run until a condition holds, then stop it as a process is stopped."""

    async def consume_until(consumer, holds):
        stopping = asyncio.Event()
        running = asyncio.create_task(consumer.run(stopping))
        try:
            await until(holds)
        finally:
            stopping.set()
            await running

    return consume_until


@pytest.fixture
def consume(new_consumer, consume_until, handler, line):
    """Let a consumer run until so many messages are applied and an offset is committed."""

    async def consume(number, offset):
        async def holds():
            return len(handler.applied) >= number and await line.committed() == offset

        await consume_until(new_consumer(line, Metrics()), holds)

    return consume


@pytest.fixture
def place():
    """A server that does not run yet."""
    return Place()


@pytest.fixture
async def runner(place):
    """Run it."""
    async with place.runner() as it:
        yield it


@pytest.fixture
def server(runner):
    """What makes its connections."""
    return runner.server
