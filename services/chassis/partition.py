"""One partition of a consumer: its messages are applied in order, and what stops it stops no other partition.

Offsets are committed after the effect (services/chassis/offsets.py), so that a message comes again rather than being lost.
A message that cannot be applied is retried a few times and then set aside as a dead letter. A message that can be neither
applied nor set aside stops the partition in front of it, with a log line, a metric and a line on `/ready`, until the cause
is gone.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, TopicAuthorizationFailedError, UnsupportedCodecError
from prometheus_client import Counter, Gauge

from services.chassis import call, tracing
from services.chassis.dead_letters import CannotSetAside, DeadLetters
from services.chassis.logs import Logger
from services.chassis.messages import Handle, message_of
from services.chassis.offsets import LOST, OffsetCommits
from services.chassis.run import wait
from services.chassis.telemetry import Metrics
from services.chassis.tracing.consuming import process
from services.errors import OutcomeUnknown, Transient, Unavailable

ATTEMPTS = 5
MAX_BATCH = 200
POLL_MS = 1000
PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0
HANDLER_SECONDS = 30.0
UNANSWERED_MS = 5000
"""A broker answers every fetch within half a second, with messages or without. One that has not for so long is away."""
# The whole partition is unreadable, through no fault of one message: nothing is skipped.
_UNREADABLE = (CorruptRecordException, TopicAuthorizationFailedError, UnsupportedCodecError)


class PartitionMetrics:
    """What the workers of one consumer count."""

    def __init__(self, metrics: Metrics) -> None:
        self.consumed: Counter = metrics.counter("cartwright_messages_consumed_total", "Messages applied.")
        self.stopped: Gauge = metrics.gauge(
            "cartwright_partition_stopped",
            "1 while a partition stands still: its next message can be neither applied nor set aside, or not be read.",
            ("partition",),
        )
        self.lag: Gauge = metrics.gauge(
            "cartwright_consumer_lag_messages",
            "Messages of a partition that were not yet applied when it was read last; NaN while that is not known.",
            ("partition",),
        )


class PartitionWorker:
    """Applies the messages of one assigned partition, from the committed offset on."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        *,
        commits: OffsetCommits,
        handle: Handle,
        dead_letters: DeadLetters,
        log: Logger,
        metrics: PartitionMetrics,
    ) -> None:
        self.partition = partition
        self.problem: str | None = None
        """Why the partition does not go on, or None."""
        self.applying = False
        """Whether the handler works. At other times the worker may be cancelled at once: nothing is applied and not noted."""
        self.stopping = asyncio.Event()
        self._consumer = consumer
        self._commits = commits
        self._handle = handle
        self._dead_letters = dead_letters
        self._log = log.bind(topic=partition.topic, partition=partition.partition)
        self._consumed = metrics.consumed
        self._stopped_metric = metrics.stopped
        self._lag = metrics.lag
        self._max_records = MAX_BATCH

    async def run(self) -> None:
        """Apply messages until told to stop or until the partition has another owner; KafkaError ends the connection."""
        self._went_on()
        await self._measure([])
        try:
            while not self.stopping.is_set():
                records = await self._read()
                if records:
                    await self._apply(records)
        except LOST as error:
            self._log.info("the partition has another owner, who applies the last messages again", error=repr(error))
        finally:
            self._stopped_metric.remove(str(self.partition.partition))
            self._lag.remove(str(self.partition.partition))

    async def _read(self) -> list[ConsumerRecord]:
        """Wait for messages; empty where none came, or where they could not be read, after a pause."""
        try:
            batches = await self._consumer.getmany(self.partition, timeout_ms=POLL_MS, max_records=self._max_records)
        except UnicodeDecodeError as error:  # the name of a header: the client library decodes it
            await self._skip_undecodable(error)
        except _UNREADABLE as error:
            self._stopped("the partition cannot be read", repr(error))
            await wait(self.stopping, MAX_PAUSE_SECONDS)
        else:
            self._went_on()
            records: list[ConsumerRecord] = batches.get(self.partition, [])
            await self._measure(records)
            return records
        return []

    async def _measure(self, records: Sequence[ConsumerRecord]) -> None:
        """Set the lag: what has been read and is to be applied now, and what stands behind it."""
        if self.partition not in self._consumer.assignment():
            return  # it has another owner by now, and the client library asserts that it has not
        end = self._consumer.highwater(self.partition)
        lag = math.nan
        if end is not None:  # the broker has answered, so that there is a position
            following = records[0].offset if records else await self._consumer.position(self.partition)
            silent_ms = round(time.time() * 1000) - self._consumer.last_poll_timestamp(self.partition)
            lag = messages_behind(end, following, silent_ms)
        self._lag.labels(str(self.partition.partition)).set(lag)

    async def _skip_undecodable(self, error: UnicodeDecodeError) -> None:
        """Set aside a reference to the message that the client library cannot decode."""
        if self._max_records > 1:
            self._max_records = 1  # read the messages in front of it one by one, up to it
            return
        offset = await self._consumer.position(self.partition)
        if await self._set_aside(
            lambda: self._dead_letters.set_aside_unread(self.partition, offset, error), offset, error
        ):
            await self._commit(offset + 1)
            self._consumer.seek(self.partition, offset + 1)
            self._max_records = MAX_BATCH

    async def _apply(self, records: Sequence[ConsumerRecord]) -> None:
        """Apply a batch. A batch that fails is applied message by message, so that one of them holds up no good one."""
        fault = await self._attempt(records)
        if fault is None:
            self._commits.reach(self.partition, records[-1].offset + 1)
            self._consumed.inc(len(records))
            return
        for record in records:
            if not await self._apply_one(record):
                return

    async def _apply_one(self, record: ConsumerRecord) -> bool:
        """Apply a message or set it aside; False when told to stop before either was done."""
        failures, pause = 0, PAUSE_SECONDS
        while not self.stopping.is_set():
            fault = await self._attempt([record])
            if fault is None:
                self._commits.reach(self.partition, record.offset + 1)
                self._consumed.inc()
                self._went_on()
                return True
            if isinstance(fault, Transient):
                self.problem = f"waits at offset {record.offset}: {fault}"
                self._log.warning("waiting for a part that is away", offset=record.offset, error=str(fault))
            else:
                failures += 1
                self._log.error("a message cannot be applied", offset=record.offset, attempt=failures, exc_info=fault)
                if failures >= ATTEMPTS:
                    return await self._bring_past(record, fault)
            await wait(self.stopping, pause)
            pause = min(MAX_PAUSE_SECONDS, pause * 2)
        return False

    async def _bring_past(self, record: ConsumerRecord, fault: BaseException) -> bool:
        if not await self._set_aside(lambda: self._dead_letters.set_aside(record, fault), record.offset, fault):
            return False
        await self._commit(record.offset + 1)
        return True

    async def _set_aside(self, send: Callable[[], Awaitable[None]], offset: int, fault: BaseException) -> bool:
        """Send a dead letter, as often as it takes; False when told to stop before it was sent."""
        pause = PAUSE_SECONDS
        while not self.stopping.is_set():
            try:
                await send()
            except CannotSetAside as reason:
                what = f"the message at offset {offset} can be neither applied nor set aside"
                self._stopped(what, str(reason), fault=repr(fault))
            else:
                self._log.error("a message was set aside", offset=offset, fault=repr(fault))
                self._went_on()
                return True
            await wait(self.stopping, pause)
            pause = min(MAX_PAUSE_SECONDS, pause * 2)
        return False

    async def _attempt(self, records: Sequence[ConsumerRecord]) -> BaseException | None:
        """Call the handler, and give what it raised, or None. Nothing that a message causes passes this point."""
        self.applying = True
        try:
            return await self._call_handler(records)
        finally:
            self.applying = False

    async def _call_handler(self, records: Sequence[ConsumerRecord]) -> BaseException | None:
        try:
            messages = [message_of(record) for record in records]
            requests = [
                call.incoming(
                    one.headers.get("request_id", ""), one.headers.get("traceparent", ""), seconds=HANDLER_SECONDS
                )
                for one in (messages if tracing.recorder() else messages[:1])
            ]
            deadline = asyncio.timeout(HANDLER_SECONDS)
            with process(self.partition.topic, requests, self.partition.partition):
                async with deadline:
                    await self._handle(messages)
        except (KeyboardInterrupt, SystemExit):
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return OutcomeUnknown("the handler was cancelled from inside")
        except TimeoutError as error:
            return Unavailable(f"the handler did not end within {HANDLER_SECONDS:g} s") if deadline.expired() else error
        except BaseException as error:  # noqa: BLE001 - a panic of a native library is one too; it is the message's failure
            return error
        return None

    async def _commit(self, offset: int) -> None:
        """Commit at once: a message that was set aside must not be set aside again."""
        self._commits.reach(self.partition, offset)
        await self._commits.commit()

    def _stopped(self, what: str, reason: str, **more: str) -> None:
        self.problem = f"{what}: {reason}"
        self._stopped_metric.labels(str(self.partition.partition)).set(1)
        self._log.error("the partition stands still", problem=what, reason=reason, **more)

    def _went_on(self) -> None:
        self.problem = None
        self._stopped_metric.labels(str(self.partition.partition)).set(0)


def messages_behind(end: int, following: int, silent_ms: int) -> float:
    """Return how many messages are not applied yet: those from the offset `following` up to `end`, as the broker said last.

    NaN where that is not known: the broker has been silent for `silent_ms`, and there may be messages that it did not tell of.
    """
    behind = max(0, end - following)
    return behind if behind or silent_ms <= UNANSWERED_MS else math.nan
