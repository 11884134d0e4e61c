"""Looks for events in the topic. It reads with no consumer group, commits nothing, and is connected only while it looks.

Records are searched by time. A producer's clock may be off, so what is not found near its time is looked for in the whole of
what the topic keeps. What may be older than that is not judged.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.auditor.books import Book
from services.auditor.ports import Sent
from services.auditor.reading import CannotRead, reading
from services.chassis.brokers import Brokers

MARGIN = timedelta(seconds=30)
SECONDS = 60.0
"""How long one look may take."""
_POLL_MS = 500
_BATCH = 2000


class Topic:
    """Fits the port TopicBook."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic

    async def missing(self, sent: Sequence[Sent]) -> frozenset[str]:
        """Return the ids of those events that the topic should have, and does not."""
        if not sent:
            return frozenset()
        async with self._connected() as (consumer, partitions):
            return await self._look(consumer, partitions, sent)

    async def probe(self) -> None:
        """Find out whether the topic can be read."""
        async with self._connected() as (consumer, partitions):
            await consumer.end_offsets(partitions)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        consumer = AIOKafkaConsumer(
            self._topic,
            **self._brokers.options(),
            client_id="auditor",
            enable_auto_commit=False,
            request_timeout_ms=10_000,
        )
        with reading(Book.TOPIC, KafkaError, OSError, TimeoutError):
            try:
                async with asyncio.timeout(SECONDS):
                    await consumer.start()
                    yield consumer, self._partitions(consumer)
            finally:
                await consumer.stop()

    @staticmethod
    async def _look(
        consumer: AIOKafkaConsumer, partitions: list[TopicPartition], sent: Sequence[Sent]
    ) -> frozenset[str]:
        ends = await consumer.end_offsets(partitions)
        wanted = {one.event_id for one in sent}
        begin = _ms(min(one.created_at for one in sent) - MARGIN)
        near = await consumer.offsets_for_times(dict.fromkeys(partitions, begin))
        starts = {one: found.offset if (found := near[one]) else ends[one] for one in partitions}
        until = _ms(max(one.sent_at for one in sent) + MARGIN)
        await _search(consumer, starts, ends, wanted, until)
        if not wanted:
            return frozenset()
        first = await consumer.beginning_offsets(partitions)
        oldest = await _search(consumer, first, ends, wanted, None)
        # Where the topic has dropped records, an event that is older than all that is left may have been among them.
        floor = max((oldest.get(one, until) for one in partitions if first[one] > 0), default=0)
        return frozenset(one.event_id for one in sent if one.event_id in wanted and _ms(one.sent_at) > floor)

    def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise CannotRead(Book.TOPIC, f"there is no topic {self._topic}")
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]


async def _search(
    consumer: AIOKafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    wanted: set[str],
    until_ms: int | None,
) -> dict[TopicPartition, int]:
    """Take out of `wanted` what the records from `starts` on have, up to `ends` or a time.

    Returns the time of the first record of each partition that has one, in milliseconds.
    """
    left = {one for one in starts if starts[one] < ends[one]}
    first: dict[TopicPartition, int] = {}
    for one in starts:
        consumer.seek(one, starts[one])
    while left and wanted:
        got = await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=_BATCH)
        for partition, records in got.items():
            for record in records:
                first.setdefault(partition, record.timestamp)
                wanted -= {
                    value.decode(errors="replace") for name, value in record.headers if name == "event_id" and value
                }
            if records and until_ms is not None and records[-1].timestamp > until_ms:
                left.discard(partition)
        for one in tuple(left):
            if await consumer.position(one) >= ends[one]:
                left.discard(one)
    return first


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
