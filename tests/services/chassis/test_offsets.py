"""Offsets are committed after a while, those of all partitions together, and at once where another owner comes."""

import asyncio

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError

from services.chassis import offsets
from services.chassis.offsets import OffsetCommits

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)


class Broker:
    """Takes commits; the next one fails with `error`, and waits while `open` is clear."""

    def __init__(self):
        self.requests, self.error = [], None
        self.open, self.asked = asyncio.Event(), asyncio.Event()
        self.open.set()

    async def commit(self, asked):
        self.asked.set()
        await self.open.wait()
        error, self.error = self.error, None
        if error:
            raise error
        self.requests.append(dict(asked))


@pytest.fixture
async def broker():
    return Broker()


@pytest.fixture
async def commits(broker):
    return OffsetCommits(broker.commit, structlog.get_logger())


@pytest.fixture
async def running(commits, monkeypatch):
    """The task that commits after a while, which is a moment here."""
    monkeypatch.setattr(offsets, "COMMIT_SECONDS", 0.01)
    task = asyncio.create_task(commits.run())
    yield task
    task.cancel()
    await asyncio.wait({task})


async def test_all_partitions_are_committed_in_one_request(broker, commits, running):
    """However many messages are applied within COMMIT_SECONDS, one request commits the last of each partition."""
    for offset in range(1, 100):
        commits.reach(FIRST, offset)
        commits.reach(SECOND, 2 * offset)
    assert broker.requests == []
    await broker.asked.wait()
    assert broker.requests == [{FIRST: 99, SECOND: 198}]


async def test_what_is_applied_during_a_commit_is_committed_by_the_next(broker, commits, running):
    """An offset that is reached while a request is under way is in the next request, and nothing is committed twice."""
    broker.open.clear()
    commits.reach(FIRST, 1)
    commits.reach(SECOND, 1)
    await broker.asked.wait()
    commits.reach(FIRST, 2)
    broker.asked.clear()
    broker.open.set()
    await broker.asked.wait()
    await commits.commit()
    assert broker.requests == [{FIRST: 1, SECOND: 1}, {FIRST: 2}]


async def test_the_last_offsets_are_committed_at_the_end(broker, commits):
    """Closing commits what is left without waiting; where nothing is left it asks for nothing."""
    commits.reach(FIRST, 1)
    await commits.close(10)
    await commits.close(10)
    assert broker.requests == [{FIRST: 1}]


async def test_a_commit_that_is_cancelled_is_made_at_the_end(broker, commits, running):
    """A request that was cut off may not have arrived, so its offsets are committed again."""
    broker.open.clear()
    commits.reach(FIRST, 1)
    await broker.asked.wait()
    running.cancel()
    await asyncio.wait({running})
    broker.open.set()
    await commits.close(10)
    assert broker.requests == [{FIRST: 1}]


@pytest.mark.parametrize("error", [CommitFailedError, IllegalStateError])
async def test_a_member_that_has_lost_its_partitions_is_told(broker, commits, running, error):
    """After a refused commit the workers are told that the partitions have other owners, and nothing more is committed."""
    broker.error = error("rebalanced")
    commits.reach(FIRST, 1)
    await running
    with pytest.raises(CommitFailedError):
        commits.reach(FIRST, 2)
    await commits.close(10)
    assert broker.requests == []


async def test_any_other_error_ends_the_connection(broker, commits, running):
    """A commit that fails for another reason raises, so that the consumer connects again."""
    broker.error = KafkaConnectionError("away")
    commits.reach(FIRST, 1)
    with pytest.raises(KafkaConnectionError):
        await running


@pytest.mark.parametrize("error", [CommitFailedError("rebalanced"), KafkaConnectionError("away"), None], ids=repr)
async def test_the_end_does_not_wait_for_a_broker_that_is_away(broker, commits, error):
    """At the end an error, or no answer in time, is not raised: the messages are applied again."""
    broker.error = error
    if error is None:
        broker.open.clear()
    commits.reach(FIRST, 1)
    await commits.close(0.01)
    assert broker.requests == []
