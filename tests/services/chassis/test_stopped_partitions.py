"""On the real Kafka: a partition that cannot go on stops alone, says so, loses nothing, and goes on once the cause is gone."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.chassis import kafka
from services.chassis.telemetry import Metrics
from services.errors import Unavailable

pytestmark = pytest.mark.real
NEVER = 10**4


@pytest.fixture
def running(new_consumer):
    """Run a consumer for as long as a block lasts."""

    @asynccontextmanager
    async def running(line, **options):
        stopping, consumer = asyncio.Event(), new_consumer(line, **options)
        task = asyncio.create_task(consumer.run(stopping))
        try:
            yield consumer
        finally:
            stopping.set()
            await task

    return running


def refuse(handler, value):
    """Let a value never be applied."""
    handler.faults[value] = [ValueError("bad")] * NEVER


def stopped(metrics, partition):
    """Give what the metric says of a partition."""
    return metrics.registry.get_sample_value("cartwright_partition_stopped", {"partition": str(partition)})


class Missing:
    """A dead-letter topic that does not exist until it is created."""

    reason = "the topic does not exist"

    @staticmethod
    async def begin(line):
        """Do nothing: it was never created."""

    @staticmethod
    async def end(line):
        await kafka.make_topics(line.brokers, {line.dead: 1}, replication=1)


class Forbidden:
    """A dead-letter topic that nobody may write to, until they may."""

    reason = "Kafka refuses: TopicAuthorizationFailedError"

    @staticmethod
    async def begin(line):
        await kafka.make_topics(line.brokers, {line.dead: 1}, replication=1)
        await line.forbid(line.dead)

    @staticmethod
    async def end(line):
        await line.forbid(line.dead, allow_again=True)


@pytest.mark.parametrize("cause", [Missing, Forbidden])
async def test_what_cannot_be_set_aside_stops_its_partition_alone(
    bare_line, running, handler, metrics, until, logs, cause
):
    """The other partition goes on, nothing is committed past the message, and once the cause is gone all of it is applied."""
    await cause.begin(bare_line)
    refuse(handler, "bad")
    await bare_line.send("a", "bad", "b", partition=0)
    async with running(bare_line, metrics=metrics) as consumer:

        async def stands():
            return stopped(metrics, 0) == 1

        await until(stands)
        await bare_line.send("c", "d", partition=1)

        async def others_go_on():
            return await bare_line.committed(1) == 2

        await until(others_go_on)
        assert await bare_line.committed(0) == 1
        assert handler.applied == ["a", "c", "d"]
        assert stopped(metrics, 1) == 0
        told = await consumer.ready()
        assert told.startswith("partition 0: the message at offset 1 can be neither applied nor set aside: ")
        assert told.endswith(f"{bare_line.dead}: {cause.reason}")
        await cause.end(bare_line)

        async def all_applied():
            return await bare_line.committed(0) == 3 and await consumer.ready() == "ok"

        await until(all_applied)
        assert stopped(metrics, 0) == 0
    assert handler.applied == ["a", "c", "d", "b"]
    assert [dead.value for dead in await bare_line.dead_letters()] == [b"bad"]
    errors = [line for line in logs if line["event"] == "the partition stands still"]
    assert errors
    assert {line["log_level"] for line in errors} == {"error"}
    assert not [line for line in logs if "does not answer" in str(line)]


async def test_a_part_that_is_away_for_one_partition_holds_up_no_other(bare_line, running, handler, until):
    """While a message of one partition waits, those of another are applied."""
    handler.faults["a"] = [Unavailable("away") for _ in range(NEVER)]
    await bare_line.send("a", "b", partition=0)
    async with running(bare_line) as consumer:

        async def waits():
            return await consumer.ready() == "partition 0: waits at offset 0: away"

        await until(waits)
        await bare_line.send("c", partition=1)

        async def goes_on():
            return await bare_line.committed(1) == 1

        await until(goes_on)
        assert await bare_line.committed(0) == 0
        handler.faults.clear()

        async def all_applied():
            return await bare_line.committed(0) == 2

        await until(all_applied)
    assert handler.applied == ["c", "a", "b"]


async def test_a_handler_that_hangs_for_one_partition_holds_up_no_other(bare_line, running, handler, until):
    """A handler that does not answer for one partition answers for another meanwhile."""
    handler.hangs = "a"
    await bare_line.send("a", partition=0)
    async with running(bare_line):
        await asyncio.wait_for(handler.reached.wait(), 20)
        await bare_line.send("c", partition=1)

        async def goes_on():
            return await bare_line.committed(1) == 1

        await until(goes_on)
        assert await bare_line.committed(0) == 0
        handler.hangs = None


async def test_a_rebalance_moves_a_stopped_partition_without_loss(bare_line, running, handler, metrics, until):
    """When another member joins, a stopped partition stands still with its owner, and the other partition goes on."""
    refuse(handler, "bad")
    await bare_line.send("bad", "b", partition=0)
    others = Metrics()
    async with running(bare_line, metrics=metrics):

        async def stands():
            return stopped(metrics, 0) == 1

        await until(stands)
        async with running(bare_line, metrics=others):

            async def shared():
                mine = {number for number in (0, 1) if stopped(metrics, number) is not None}
                theirs = {number for number in (0, 1) if stopped(others, number) is not None}
                return len(mine) == len(theirs) == 1 and mine != theirs

            await until(shared)

            async def stands_again():
                return 1 in (stopped(metrics, 0), stopped(others, 0))

            await until(stands_again)
            await bare_line.send("c", partition=1)

            async def goes_on():
                return await bare_line.committed(1) == 1

            await until(goes_on)
            assert await bare_line.committed(0) == 0

        async def alone():
            return stopped(metrics, 0) == 1 and stopped(metrics, 1) == 0

        await until(alone)
        await Missing.end(bare_line)

        async def all_applied():
            return await bare_line.committed(0) == 2

        await until(all_applied)
    assert handler.applied == ["c", "b"]
    assert [dead.value for dead in await bare_line.dead_letters()] == [b"bad"]


async def test_a_topic_that_does_not_exist_is_not_called_an_outage(bare_line, running, handler, until, logs):
    """A consumer whose own topic is missing says so, and begins once the topic is there."""
    bare_line.topic += "-later"
    async with running(bare_line) as consumer:

        async def told():
            return await consumer.ready() == f"the topic does not exist ({bare_line.topic})"

        await until(told)
        await kafka.make_topics(bare_line.brokers, {bare_line.topic: 1}, replication=1)
        await bare_line.send("a")

        async def applied():
            return handler.applied == ["a"]

        await until(applied)
    assert {line["log_level"] for line in logs if line["event"] == "not connected"} == {"error"}


async def test_a_partition_that_cannot_be_read_says_so(bare_line, running, handler, metrics, until, logs):
    """Messages compressed by a codec that this process lacks stop their partition, and none of them is skipped."""
    bare_line.topic += "-zstd"
    admin = AIOKafkaAdminClient(bootstrap_servers=bare_line.servers)
    await admin.start()
    await admin.create_topics([NewTopic(bare_line.topic, 1, 1, topic_configs={"compression.type": "zstd"})])
    await admin.close()
    await bare_line.send("a")
    async with running(bare_line, metrics=metrics) as consumer:

        async def stands():
            return stopped(metrics, 0) == 1

        await until(stands)
        assert (await consumer.ready()).startswith("partition 0: the partition cannot be read: UnsupportedCodecError")
        assert await bare_line.committed(0) == 0
    assert handler.applied == []
    assert not [line for line in logs if "does not answer" in str(line)]
