"""A consumer: a member of a Kafka consumer group that runs a worker for each partition it is assigned.

While Kafka is away the consumer waits and connects again. Whatever else ends a connection is logged in its own words, and the
consumer connects again from the committed offsets, so that nothing is lost.
"""

import asyncio
from collections.abc import Callable, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from services.chassis import kafka
from services.chassis.brokers import Brokers
from services.chassis.dead_letters import DeadLetters
from services.chassis.logs import Logger
from services.chassis.messages import Handle
from services.chassis.offsets import OffsetCommits
from services.chassis.partition import PartitionMetrics, PartitionWorker
from services.chassis.run import wait
from services.chassis.telemetry import Metrics

PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0
SESSION_MS = 6000
REVOKE_SECONDS = 4.0
"""How long a member takes at most to give its partitions up: less than a session, as the group waits no longer."""
LAST_COMMIT_SECONDS = 1.0
"""How much of that is for the commit of what is applied. A batch under way may take the rest to end."""
NEVER_MS = 2**31 - 1


class Consumer:
    """Reads a topic for a group. Messages that cannot be applied go to the topic `<topic>.dlq`."""

    def __init__(
        self, brokers: Brokers, topic: str, group: str, *, handle: Handle, log: Logger, metrics: Metrics
    ) -> None:
        self._brokers = brokers
        self._topic = topic
        self._group = group
        self._handle = handle
        self._log = log
        self._dead_letters = DeadLetters(brokers, f"{topic}.dlq", f"{group}-dlq", log=log, metrics=metrics)
        self._metrics = PartitionMetrics(metrics)
        self._assignment: _Assignment | None = None
        self._connected = False
        self._problem = "not connected"

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until told to stop."""
        pause = PAUSE_SECONDS
        while not stopping.is_set():
            try:
                await self._consume(stopping)
            except* KafkaError as errors:
                for error in _leaves(errors):
                    self._problem = f"{kafka.problem(error)} ({self._topic})"
                    log = self._log.warning if kafka.is_outage(error) else self._log.error
                    log("not connected", problem=self._problem, error=repr(error))
            except* Exception:  # noqa: BLE001 - the process goes on: it would meet the same again
                self._problem = "failed unexpectedly"
                self._log.exception("the consumer failed unexpectedly")
            pause = PAUSE_SECONDS if self._connected else min(MAX_PAUSE_SECONDS, pause * 2)
            self._connected = False
            await wait(stopping, pause)

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        if not self._connected:
            return self._problem
        workers = self._assignment.workers if self._assignment else ()
        problems = [f"partition {worker.partition.partition}: {worker.problem}" for worker in workers if worker.problem]
        return "; ".join(problems) or "ok"

    async def _consume(self, stopping: asyncio.Event) -> None:
        """Connect, and work until told to stop; an ExceptionGroup says what ended the connection."""
        consumer = AIOKafkaConsumer(
            **self._brokers.options(),
            group_id=self._group,
            client_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=10_000,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=2000,
            metadata_max_age_ms=10_000,
            # A worker that waits keeps its partition: another member would wait for the same.
            max_poll_interval_ms=NEVER_MS,
        )

        def commits() -> OffsetCommits:
            return OffsetCommits(consumer.commit, self._log)

        def worker(partition: TopicPartition, commits: OffsetCommits) -> PartitionWorker:
            return PartitionWorker(
                consumer,
                partition,
                commits=commits,
                handle=self._handle,
                dead_letters=self._dead_letters,
                log=self._log,
                metrics=self._metrics,
            )

        try:
            async with asyncio.TaskGroup() as tasks:
                self._assignment = _Assignment(tasks, worker, commits)
                consumer.subscribe([self._topic], listener=self._assignment)
                await consumer.start()
                self._connected = True
                await stopping.wait()
                await self._assignment.end()
        finally:
            if self._assignment:
                await self._assignment.end()  # an error ends the workers, and leaves what they applied uncommitted
            self._assignment = None
            self._problem = "not connected"
            await consumer.stop()


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """The workers of the partitions that this member has. Each rebalance ends them all and starts those of the new share."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        make_worker: Callable[[TopicPartition, OffsetCommits], PartitionWorker],
        make_commits: Callable[[], OffsetCommits],
    ) -> None:
        self._tasks = tasks
        self._make_worker = make_worker
        self._make_commits = make_commits
        self._commits = make_commits()
        self._committing: asyncio.Task[None] | None = None
        self._running: dict[PartitionWorker, asyncio.Task[None]] = {}
        self._ended = False

    @property
    def workers(self) -> Collection[PartitionWorker]:
        return self._running.keys()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if self._ended:
            return
        self._commits = self._make_commits()
        self._committing = self._tasks.create_task(self._commits.run())
        workers = [self._make_worker(partition, self._commits) for partition in assigned]
        self._running = {worker: self._tasks.create_task(worker.run()) for worker in workers}

    async def on_partitions_revoked(self, _: Collection[TopicPartition]) -> None:
        await self._give_up()

    async def end(self) -> None:
        """End the workers, and start no more."""
        self._ended = True
        await self._give_up()

    async def _give_up(self) -> None:
        """Let what is under way end, for a while, and commit what is applied."""
        running, self._running = self._running, {}
        for worker, task in running.items():
            worker.stopping.set()
            if not worker.applying:
                task.cancel()
        if running:
            _, late = await asyncio.wait(running.values(), timeout=REVOKE_SECONDS - LAST_COMMIT_SECONDS)
            for task in late:
                task.cancel()
        if self._committing:
            committing, self._committing = self._committing, None
            await self._commits.close(LAST_COMMIT_SECONDS)
            committing.cancel()


def _leaves(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Give the errors of a group, and of the groups in it."""
    found: list[BaseException] = []
    for error in errors.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
