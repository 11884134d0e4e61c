"""Commits what a consumer has applied: the offsets of all its partitions in one request, at most every COMMIT_SECONDS.

An offset is committed after the effect of its message, and not at once, as each commit is a write to Kafka's log. A process
that is killed in between leaves messages of at most COMMIT_SECONDS to be applied again. That is safe because every handler
is idempotent (services/chassis/messages.py): an order is inserted once per checkout, and a purchase leaves a cart once per
checkout and line. A consumer that is told to stop, or whose partitions are revoked, commits first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from services.chassis.logs import Logger

COMMIT_SECONDS = 0.5
"""How long an applied message may wait for its commit."""
LOST = (CommitFailedError, IllegalStateError)
"""Errors of a commit that say that the partition has another owner, or will have one."""


class OffsetCommits:
    """The offsets that the workers of one assignment have reached and that Kafka does not have yet."""

    def __init__(self, send: Callable[[Mapping[TopicPartition, int]], Awaitable[None]], log: Logger) -> None:
        """Take what sends an OffsetCommit request: partition → offset of the next message to apply."""
        self._send = send
        self._log = log
        self._reached: dict[TopicPartition, int] = {}
        self._changed = asyncio.Event()
        self._sending = asyncio.Lock()  # a request that is repeated must not overtake a later one
        self._lost = False

    def reach(self, partition: TopicPartition, offset: int) -> None:
        """Note that all messages in front of `offset` are applied; CommitFailedError where the last commit was refused."""
        if self._lost:
            raise CommitFailedError("the group has given the partitions to others")
        self._reached[partition] = offset
        self._changed.set()

    async def run(self) -> None:
        """Commit what is reached, COMMIT_SECONDS later at the latest, until cancelled; KafkaError ends the connection.

        A commit that is refused because the partitions have other owners ends it too, and `reach` then raises.
        """
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(COMMIT_SECONDS)
                await self.commit()
        except LOST as error:
            self._lost = True
            self._log.info("the partitions have other owners, who apply the last messages again", error=repr(error))

    async def commit(self) -> None:
        """Commit all that is reached, now. Returns once Kafka has it; KafkaError where it does not take it."""
        async with self._sending:
            if offsets := dict(self._reached):
                await self._send(offsets)
            for partition, offset in offsets.items():
                if self._reached[partition] == offset:
                    del self._reached[partition]
            if not self._reached:
                self._changed.clear()

    async def close(self, seconds: float) -> None:
        """Commit what is left, for at most so many seconds. What is not committed is applied again by the next owner."""
        if self._lost:
            return
        try:
            async with asyncio.timeout(seconds):
                await self.commit()
        except (KafkaError, TimeoutError) as error:
            self._log.warning(
                "the last offsets were not committed: their messages are applied again", error=repr(error)
            )
