"""Kafka in memory: topics with partitions, groups that rebalance, and the two clients of aiokafka that the services use.

A member that does not answer for a session's time is expelled, and its commits are refused from then on. A message may be
appended twice, and its acknowledgement may be lost.
"""

import asyncio
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, KafkaTimeoutError

from tests.simulation.faults import MESSAGES, Fault, Kind
from tests.simulation.loop import Process

SESSION_SECONDS = 6.0
HEARTBEAT_SECONDS = 2.0
REQUEST_SECONDS = 5.0


@dataclass(slots=True)
class Record:
    """A message of a partition, as the client library gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Group:
    """A consumer group."""

    name: str
    topic: str
    members: list["SimConsumer"] = field(default_factory=list)
    generation: int = 0
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    rebalancing: bool = False
    waiting: set[int] = field(default_factory=set)
    """The numbers of the members that have not given their partitions up yet."""


class Broker:
    """The broker, and the coordinator of the groups."""

    def __init__(self, world: Any, partitions: Mapping[str, int], groups: Mapping[str, str]) -> None:
        """Take the topics with their numbers of partitions, and the groups with the topic that each reads."""
        self._world = world
        self.loop = world.loop
        self.down = False
        self.logs: dict[TopicPartition, list[Record]] = {
            TopicPartition(topic, number): [] for topic, count in partitions.items() for number in range(count)
        }
        self.groups = {name: Group(name, topic) for name, topic in groups.items()}
        self._pollers: dict[TopicPartition, list[tuple[Process, asyncio.Future[None]]]] = {}
        self._numbers = 0

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic."""
        return [partition for partition in self.logs if partition.topic == topic]

    def dead_letters(self) -> list[list[Record]]:
        """Return the logs of the topics for dead letters."""
        return [log for partition, log in self.logs.items() if partition.topic.endswith(".dlq")]

    def lag(self) -> int:
        """Return how many messages of its topic each group has not committed, in all."""
        return sum(
            len(log) - group.committed.get(partition, 0)
            for group in self.groups.values()
            for partition, log in self.logs.items()
            if partition.topic == group.topic
        )

    def append(self, topic: str, value: bytes | None, key: bytes | None, headers: Any) -> None:
        """Append a message to the partition of its key."""
        partitions = self.partitions(topic)
        partition = partitions[zlib.crc32(key or b"") % len(partitions)]
        log = self.logs[partition]
        log.append(Record(topic, partition.partition, len(log), key, value, tuple(headers)))
        self._world.stored("kafka", "append")
        for process, waiter in self._pollers.pop(partition, ()):
            self.loop.at(process, self._world.latency("kafka wakes"), _wake, waiter)

    async def poll(self, partition: TopicPartition, offset: int, seconds: float) -> None:
        """Wait until there is something at an offset, or the time is over."""
        if len(self.logs[partition]) > offset:
            return
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._pollers.setdefault(partition, []).append((self.loop.current, waiter))
        timer = self.loop.call_later(seconds, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    # Groups.

    def join(self, member: "SimConsumer") -> None:
        """Add a member; a rebalance gives it its share."""
        group = self.groups[member.group]
        self._numbers += 1
        member.number = self._numbers
        group.members.append(member)
        self.rebalance(group)

    def leave(self, member: "SimConsumer") -> None:
        """Remove a member."""
        group = self.groups[member.group]
        if member in group.members:
            group.members.remove(member)
            self.rebalance(group)

    def rebalance(self, group: Group) -> None:
        """Ask every member to give its partitions up; when all have, they are dealt anew."""
        if group.rebalancing:
            group.waiting &= {member.number for member in group.members}
            for member in group.members:
                if member.generation != group.generation and member.number not in group.waiting and not member.ready:
                    group.waiting.add(member.number)
                    self.loop.at(member.process, 0.001, member.give_up, member.number, group.generation)
            if not group.waiting:
                self._deal(group)
            return
        group.rebalancing = True
        group.waiting = {member.number for member in group.members}
        for member in group.members:
            member.ready = False
            self.loop.at(
                member.process, self._world.latency("rebalance"), member.give_up, member.number, group.generation
            )
        self._world.reached("consumer group rebalanced")
        self.loop.at(self.loop.world, SESSION_SECONDS, self._expel_silent, group, group.generation)
        if not group.waiting:
            self._deal(group)

    def gave_up(self, member: "SimConsumer") -> None:
        """Note that a member has given its partitions up."""
        group = self.groups[member.group]
        member.ready = True
        group.waiting.discard(member.number)
        if group.rebalancing and not group.waiting:
            self._deal(group)

    def expel(self, member: "SimConsumer") -> None:
        """Go on without a member that does not answer."""
        group = self.groups[member.group]
        if member in group.members:
            group.members.remove(member)
            self._world.reached("consumer expelled from its group")
            if group.rebalancing:
                group.waiting.discard(member.number)
                if not group.waiting:
                    self._deal(group)
            else:
                self.rebalance(group)

    def _expel_silent(self, group: Group, generation: int) -> None:
        if group.rebalancing and group.generation == generation:
            for member in [one for one in group.members if one.number in group.waiting]:
                self.expel(member)

    def watch(self) -> None:
        """Expel members whose process is dead, or has been still for a session's time."""
        for group in self.groups.values():
            for member in list(group.members):
                if not member.process.alive or self.loop.now - member.heard_at > SESSION_SECONDS:
                    self.expel(member)
        self.loop.at(self.loop.world, HEARTBEAT_SECONDS, self.watch)

    def _deal(self, group: Group) -> None:
        group.rebalancing = False
        group.generation += 1
        partitions = self.partitions(group.topic)
        turn = group.generation
        for member in group.members:
            member.generation, member.ready = group.generation, False
        count = len(group.members)
        for position, member in enumerate(group.members):
            share = [one for index, one in enumerate(partitions) if (index + turn) % count == position]
            delay = self._world.latency("assignment")
            self.loop.at(member.process, delay, member.take, group.generation, share)

    def commit(self, member: "SimConsumer", generation: int, offsets: Mapping[TopicPartition, int]) -> bool:
        """Store offsets; False where the member has no right to: another has the partitions, or will have them."""
        group = self.groups[member.group]
        if member not in group.members or generation != group.generation:
            return False
        group.committed.update(offsets)
        return True


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


class _Client:
    """What producers and consumers share: requests that meet faults."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.world = broker._world
        self.process: Process = broker.loop.current

    def fault(self, what: str) -> Fault | None:
        """Return what strikes the next request."""
        fault: Fault | None = self.world.strike(self.process, f"{self.process.name} => kafka.{what}", MESSAGES)
        return fault

    async def request(self, what: str, effect: Callable[[], Any]) -> Any:
        """Make a request whose effect is a function; KafkaError where it has no reply."""
        fault, world = self.fault(what), self.world
        kind = fault.kind if fault else None
        if kind is Kind.REFUSED or self.broker.down:
            await asyncio.sleep(world.latency("kafka refuses"))
            raise KafkaConnectionError("no broker")
        delay = world.latency(what) + (fault.after if fault and kind is Kind.SLOW else 0.0)
        answer: asyncio.Future[Any] = world.loop.create_future()
        if kind is not Kind.KILLED_BEFORE:
            world.loop.at(world.loop.world, delay, self._arrive, answer, effect, kind)
        try:
            return await asyncio.wait_for(answer, REQUEST_SECONDS)
        except TimeoutError:
            raise KafkaTimeoutError("no answer") from None

    def _arrive(self, answer: "asyncio.Future[Any]", effect: Callable[[], Any], kind: Kind | None) -> None:
        if self.broker.down:
            return
        result = effect()
        if kind is Kind.TWICE:
            effect()
        if kind is Kind.KILLED_AFTER:
            self.world.kill(self.process)
        elif kind is not Kind.REPLY_LOST:
            self.world.loop.at(self.process, self.world.latency("kafka answers"), _settle, answer, result)


def _settle(answer: "asyncio.Future[Any]", result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


class SimProducer(_Client):
    """Stands where AIOKafkaProducer does."""

    async def start(self) -> None:
        """Connect."""
        await self.request("connect", lambda: None)

    async def stop(self) -> None:
        """Disconnect."""

    async def send_and_wait(self, topic: str, value: Any = None, key: Any = None, headers: Any = ()) -> None:
        """Append a message, and wait until that is acknowledged."""
        await self.request("produce", lambda: self.broker.append(topic, value, key, headers or ()))


class SimConsumer(_Client):
    """Stands where AIOKafkaConsumer does."""

    def __init__(self, broker: Broker, *, group_id: str, **_: Any) -> None:
        super().__init__(broker)
        self.group = group_id
        self.topic = ""
        self.number = 0
        self.generation = 0
        self.ready = False
        self.heard_at = 0.0
        self._listener: Any = None
        self._positions: dict[TopicPartition, int] = {}
        self._stopped = False
        self._changing = asyncio.Lock()

    def subscribe(self, topics: Collection[str], listener: Any) -> None:
        """Note what to read, and who is told of rebalances."""
        (self.topic,) = topics
        self._listener = listener

    async def start(self) -> None:
        """Join the group."""
        await self.request("join", lambda: None)
        self.heard_at = self.world.loop.now
        self.broker.join(self)
        self._beats = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Leave the group."""
        self._stopped = True
        if self.number:
            self._beats.cancel()
            self.broker.leave(self)

    async def _beat(self) -> None:
        while not self._stopped:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if self.broker.down:
                continue
            self.heard_at = self.world.loop.now
            if self not in self.broker.groups[self.group].members:  # expelled: give up and join again
                self.world.reached("consumer joined again after it was expelled")
                async with self._changing:
                    await self._listener.on_partitions_revoked(list(self._positions))
                    self._positions = {}
                self.broker.join(self)

    def give_up(self, number: int, generation: int) -> None:
        """Give the partitions up, in the member's process, and say so; unless it has joined anew since it was asked."""
        asyncio.ensure_future(self._give_up(number, generation))  # noqa: RUF006 - the loop keeps every task

    async def _give_up(self, number: int, generation: int) -> None:
        self.heard_at = self.world.loop.now
        async with self._changing:
            if self._stopped or number != self.number or generation != self.broker.groups[self.group].generation:
                return
            await self._listener.on_partitions_revoked(list(self._positions))
            self._positions = {}
        self.broker.gave_up(self)

    def take(self, generation: int, share: Collection[TopicPartition]) -> None:
        """Begin with new partitions, in the member's process."""
        asyncio.ensure_future(self._take(generation, share))  # noqa: RUF006 - the loop keeps every task

    async def _take(self, generation: int, share: Collection[TopicPartition]) -> None:
        async with self._changing:
            group = self.broker.groups[self.group]
            # `ready`: it has been asked for these partitions again before it came to take them.
            if self._stopped or self.ready or self not in group.members or generation != group.generation:
                return
            self._positions = {partition: group.committed.get(partition, 0) for partition in share}
            await self._listener.on_partitions_assigned(list(share))

    async def getmany(self, partition: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        """Return messages of a partition from its position on."""
        if partition not in self._positions:
            raise IllegalStateError(f"{partition} is not assigned")
        await self.broker.poll(partition, self._positions[partition], timeout_ms / 1000)
        if partition not in self._positions:
            raise IllegalStateError(f"{partition} is not assigned")
        position = self._positions[partition]
        records = self.broker.logs[partition][position : position + max_records]
        if not records:
            return {}
        fault = self.fault("fetch")
        if fault and fault.kind is Kind.KILLED_AFTER:
            self.world.kill(self.process)
        slow = fault.after if fault and fault.kind is Kind.SLOW else 0.0
        await asyncio.sleep(self.world.latency("fetch") + slow)
        if partition not in self._positions:
            raise IllegalStateError(f"{partition} is not assigned")
        self._positions[partition] = records[-1].offset + 1
        return {partition: records}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store offsets; CommitFailedError where others have the partitions by now."""
        generation = self.generation
        if not await self.request("commit", lambda: self.broker.commit(self, generation, dict(offsets))):
            raise CommitFailedError("the group has rebalanced")

    async def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next message."""
        return self._positions[partition]

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that are this consumer's now."""
        return frozenset(self._positions)

    def highwater(self, partition: TopicPartition) -> int:
        """Return the offset of the message that comes after all there are. Asserts what the real client asserts."""
        assert partition in self._positions, "Partition is not assigned"
        return len(self.broker.logs[partition])

    def last_poll_timestamp(self, partition: TopicPartition) -> int:
        """Return when the broker answered last, in milliseconds: it does so whenever it is there."""
        assert partition in self._positions, "Partition is not assigned"
        return round(time.time() * 1000)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from an offset."""
        self._positions[partition] = offset
