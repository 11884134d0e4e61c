"""Looks for events in the topic. It reads with no consumer group, commits nothing, and is connected only while it looks.

An event is searched near the time at which it was published, so that a look reads a part of the topic that does not grow with
the topic. A producer's clock may be off, so what is not found there is searched for an hour to either side. What may be older
than what the topic keeps is not judged.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.auditor.books import Book
from services.auditor.ports import Sent
from services.auditor.reading import CannotRead, reading
from services.chassis.brokers import Brokers

MARGIN = timedelta(seconds=30)
FAR = timedelta(hours=1)
"""How far off a producer's clock may be. Brokers refuse what is further ahead (`message.timestamp.after.max.ms`)."""
SECONDS = 60.0
"""How long connecting may take, and reading the records of one span of time."""
_POLL_MS = 500
_BATCH = 2000


Records: TypeAlias = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when, in Unix time, records are searched for the events with these ids."""

    begin_ms: int
    until_ms: int
    wanted: frozenset[str]


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
            left = {one.event_id: one for one in sent}
            for margin in (MARGIN, FAR):
                for span in spans(left.values(), margin):
                    for event_id in await _found(consumer, partitions, span):
                        del left[event_id]
                if not left:
                    return frozenset()
            floor = await _floor(consumer, partitions)
            return frozenset(one.event_id for one in left.values() if floor is not None and _ms(one.sent_at) > floor)

    async def probe(self) -> None:
        """Find out whether the topic can be read: the last record of each partition is, where there is one."""
        async with self._connected() as (consumer, partitions):
            firsts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            lasts = {one: max(ends[one] - 1, firsts[one]) for one in partitions}
            await _read(consumer, lasts, ends, lambda _, __: True)

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

    def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise CannotRead(Book.TOPIC, f"there is no topic {self._topic}")
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]


def spans(sent: Iterable[Sent], margin: timedelta) -> Iterator[Span]:
    """Yield the times in which to look for events, with so much time on either side; those that meet are one."""
    begin = until = 0
    wanted = frozenset[str]()
    for one in sorted(sent, key=lambda one: one.sent_at):
        if wanted and _ms(one.sent_at - margin) > until:
            yield Span(begin, until, wanted)
            wanted = frozenset()
        if not wanted:
            begin = _ms(one.sent_at - margin)
        wanted |= {one.event_id}
        until = _ms(one.sent_at + margin)
    if wanted:
        yield Span(begin, until, wanted)


async def _found(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], span: Span) -> frozenset[str]:
    """Return the ids of those wanted events that the records of a span have."""
    ends = await consumer.end_offsets(partitions)
    near = await consumer.offsets_for_times(dict.fromkeys(partitions, span.begin_ms))
    starts = {one: found.offset if (found := near[one]) else ends[one] for one in partitions}
    left = set(span.wanted)

    def is_enough(_: TopicPartition, records: Records) -> bool:
        for record in records:
            left.difference_update(
                value.decode(errors="replace") for name, value in record.headers if name == "event_id" and value
            )
        return not left or records[-1].timestamp > span.until_ms

    await _read(consumer, starts, ends, is_enough)
    return span.wanted - left


async def _floor(consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> int | None:
    """Return the time in milliseconds up to which the topic may have dropped records: 0 where it has dropped none.

    None: it may have dropped any, since a partition has none left.
    """
    firsts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    dropped = {one: first for one, first in firsts.items() if first > 0}
    oldest: dict[TopicPartition, int] = {}

    def is_enough(partition: TopicPartition, records: Records) -> bool:
        oldest[partition] = records[0].timestamp
        return True

    await _read(consumer, dropped, ends, is_enough)
    return max(oldest.values(), default=0) if oldest.keys() == dropped.keys() else None


async def _read(
    consumer: AIOKafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    is_enough: Callable[[TopicPartition, Records], bool],
) -> None:
    """Read these partitions from these offsets on, each up to its end, or until it is enough."""
    left = {one for one in starts if starts[one] < ends[one]}
    for one in left:
        consumer.seek(one, starts[one])
    async with asyncio.timeout(SECONDS):
        while left:
            got = await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=_BATCH)
            left -= {one for one, records in got.items() if records and is_enough(one, records)}
            left -= {one for one in left if await consumer.position(one) >= ends[one]}


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
