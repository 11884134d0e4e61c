"""Consumers on the real Kafka: every message is applied before it is committed, and none is lost or blocks the others."""

import asyncio

import pytest

from services.chassis import offsets, partition
from services.chassis.messages import Message
from services.chassis.telemetry import Metrics
from services.errors import OutcomeUnknown, Unavailable

pytestmark = pytest.mark.real


async def test_messages_are_applied_in_order_and_once(line, new_consumer, consume_until, consume, handler, metrics):
    """Everything in a partition is applied in its order; after a restart only what came since."""
    await line.send("a", "b", "c")
    await consume(3, 3)
    await line.send("d")

    async def holds():
        return await line.committed() == 4 and lag(metrics) == 0

    await consume_until(new_consumer(line), holds)
    assert handler.applied == ["a", "b", "c", "d"]
    assert metrics.registry.get_sample_value("cartwright_messages_consumed_total") == 1


async def test_a_message_says_where_it_came_from(line, consume, handler):
    """A handler is told topic, partition, offset, key and headers, and acts within the sender's request."""
    await line.send("a")
    await consume(1, 1)
    [(message, within)] = handler.told
    assert message == Message(line.topic, 0, 0, b"key", b"a", {"request_id": "a"})
    assert (within.request_id, within.deadline is None) == ("a", False)


async def test_a_message_is_committed_after_its_effect(line, new_consumer, handler, consume):
    """A process that dies while it applies a message leaves it to the next, which applies it again."""
    await line.send("a")
    await consume(1, 1)
    await line.send("b")
    handler.hangs = "b"
    dying = asyncio.create_task(new_consumer(line).run(asyncio.Event()))
    await asyncio.wait_for(handler.reached.wait(), 20)
    assert await line.committed() == 1
    dying.cancel()
    await asyncio.wait({dying})
    assert await line.committed() == 1
    handler.hangs = None
    await consume(2, 2)
    assert handler.applied == ["a", "b"]
    assert handler.tried == ["a", "b", "b"]


def lag(metrics):
    """The lag of the first partition; None while nobody has it."""
    return metrics.registry.get_sample_value("cartwright_consumer_lag_messages", {"partition": "0"})


async def test_the_lag_is_what_is_not_yet_applied(line, new_consumer, handler, metrics):
    """While a message is applied, it and those behind it count as lag; a partition that is given up has none."""
    await line.send("a", "b", "c")
    handler.hangs = "a"
    working = asyncio.create_task(new_consumer(line).run(asyncio.Event()))
    await asyncio.wait_for(handler.reached.wait(), 20)
    assert lag(metrics) == 3
    working.cancel()
    await asyncio.wait({working})
    assert lag(metrics) is None


@pytest.fixture
def no_timed_commits(monkeypatch):
    """Let nothing be committed merely because time goes by."""
    monkeypatch.setattr(offsets, "COMMIT_SECONDS", 3600)


async def test_a_consumer_that_stops_commits_what_it_applied(
    line, new_consumer, consume_until, handler, no_timed_commits
):
    """A consumer that is told to stop leaves nothing that it applied to be applied again."""
    await line.send("a", "b")

    async def applied():
        return handler.applied == ["a", "b"]

    await consume_until(new_consumer(line), applied)
    assert await line.committed() == 2


async def test_a_rebalance_applies_no_message_twice(line, new_consumer, handler, until, no_timed_commits):
    """Before another member gets a partition, all that was applied of it is committed."""
    await line.send("a")
    stopping = asyncio.Event()

    async def applied():
        return handler.applied == ["a"]

    async def committed():
        return await line.committed() == 1

    async def both_applied():
        return handler.applied == ["a", "b"]

    async with asyncio.TaskGroup() as members:
        members.create_task(new_consumer(line).run(stopping))
        await until(applied)
        members.create_task(new_consumer(line, Metrics()).run(stopping))
        await until(committed)
        await line.send("b")
        await until(both_applied)
        stopping.set()
    assert handler.tried == ["a", "b"]
    assert await line.committed() == 2


async def test_a_message_that_is_set_aside_is_committed_at_once(
    line, new_consumer, consume_until, handler, no_timed_commits
):
    """A message goes to the dead letters once, so that its offset does not wait for others."""
    handler.faults["bad"] = [ValueError("bad")] * (partition.ATTEMPTS + 1)
    await line.send("bad")

    async def committed():
        return await line.committed() == 1

    await consume_until(new_consumer(line), committed)
    assert len(await line.dead_letters()) == 1


@pytest.mark.parametrize("fault", [Unavailable, OutcomeUnknown])
async def test_a_part_that_is_away_is_waited_for(line, consume, handler, fault):
    """However often a part is away, its message is applied in the end, before the next and never set aside."""
    handler.faults["a"] = [fault("away") for _ in range(2 * partition.ATTEMPTS)]
    await line.send("a", "b")
    await consume(2, 2)
    assert handler.applied == ["a", "b"]
    assert await line.dead_letters() == []


async def test_a_handler_that_is_cancelled_from_inside_is_tried_again(line, consume, handler):
    """A library that cancels its own work ends neither the consumer nor the message."""
    handler.faults["a"] = [asyncio.CancelledError() for _ in range(2 * partition.ATTEMPTS)]
    await line.send("a", "b")
    await consume(2, 2)
    assert handler.applied == ["a", "b"]
    assert await line.dead_letters() == []


async def test_a_handler_that_does_not_end_is_tried_again(line, consume, handler, monkeypatch):
    """A handler that hangs is given up after its deadline, and its message is applied later."""
    monkeypatch.setattr(partition, "HANDLER_SECONDS", 0.2)
    handler.hangs = "a"
    await line.send("a", "b")
    consuming = asyncio.create_task(consume(2, 2))
    await asyncio.wait_for(handler.reached.wait(), 20)
    handler.hangs = None
    await consuming
    assert handler.applied == ["a", "b"]
    assert await line.dead_letters() == []


async def test_a_message_that_fails_a_few_times_is_applied(line, consume, handler):
    """A message that fails for reasons of its own, though not for good, is applied and not set aside."""
    handler.faults["a"] = [ValueError("odd")] * (partition.ATTEMPTS - 1)
    await line.send("a")
    await consume(1, 1)
    assert await line.dead_letters() == []


async def test_a_stop_while_a_part_is_away_commits_nothing(line, new_consumer, consume, consume_until, handler):
    """A consumer told to stop while it waits for a part stops, and leaves the message to the next."""
    handler.faults["a"] = [Unavailable("away") for _ in range(10**4)]
    await line.send("a")

    async def tried():
        return len(handler.tried) > 1

    await consume_until(new_consumer(line), tried)
    assert await line.committed() == 0
    handler.faults.clear()
    await consume(1, 1)


async def test_readiness_says_whether_kafka_is_there(line, new_consumer, until):
    """A consumer is ready while it is connected, and not before or after."""
    stopping, consumer = asyncio.Event(), new_consumer(line)
    assert await consumer.ready() == "not connected"
    running = asyncio.create_task(consumer.run(stopping))

    async def ready():
        return await consumer.ready() == "ok"

    await until(ready)
    stopping.set()
    await running
    assert await consumer.ready() == "not connected"
