"""Dead letters: messages that cannot be applied, kept in a topic of their own so that the messages behind them can be.

A dead letter is the whole message with headers that say where it came from and why. Where the dead-letter topic refuses the
whole message (with its new headers it is too large, say), the letter is a reference: enough to find the message in its topic
and to recognise it there.
"""

import asyncio
import hashlib
from dataclasses import dataclass

import msgspec
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, UnknownError

from services.chassis import kafka
from services.chassis.brokers import Brokers
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics

SEND_SECONDS = 15.0
MAX_ERROR_CHARACTERS = 500
# UnknownError is what the client library makes of INVALID_RECORD: a compacted topic refuses messages without a key.
_REFUSED = (*kafka.REFUSED_MESSAGE, UnknownError)

Headers = list[tuple[str, bytes | None]]


class CannotSetAside(Exception):
    """The dead-letter topic takes neither the message nor a reference to it, for now; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is written to the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def whole(record: ConsumerRecord, error: BaseException) -> Letter:
    """Build a dead letter that holds the whole message, byte for byte, under its own key."""
    origin = _origin(TopicPartition(record.topic, record.partition), record.offset, error)
    kept = [(name, value) for name, value in record.headers if name not in origin]
    return Letter(record.key, record.value, kept + _headers(origin))


def reference(
    partition: TopicPartition, offset: int, error: BaseException, record: ConsumerRecord | None = None
) -> Letter:
    """Build a dead letter that names a message: its place, the error, and, where it was read, the value's length and digest.

    The value is a JSON object of strings and repeats the headers, for people. The key is `topic/partition/offset`.
    """
    facts = _origin(partition, offset, error)
    if record is not None and record.value is not None:
        facts["original-length"] = str(len(record.value))  # bytes
        facts["original-sha256"] = hashlib.sha256(record.value).hexdigest()
    key = f"{partition.topic}/{partition.partition}/{offset}".encode()
    text = {name: value.encode(errors="replace").decode() for name, value in facts.items()}
    return Letter(key, msgspec.json.encode(text), _headers(facts))


def _origin(partition: TopicPartition, offset: int, error: BaseException) -> dict[str, str]:
    return {
        "original-topic": partition.topic,
        "original-partition": str(partition.partition),
        "original-offset": str(offset),
        "error": _describe(error)[:MAX_ERROR_CHARACTERS],
    }


def _describe(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # noqa: BLE001 - an error made from odd input may fail to describe itself
        return name


def _headers(facts: dict[str, str]) -> Headers:
    return [(name, value.encode(errors="replace")) for name, value in facts.items()]


class DeadLetters:
    """The dead-letter topic of one consumer."""

    def __init__(self, brokers: Brokers, topic: str, client_id: str, *, log: Logger, metrics: Metrics) -> None:
        self._brokers = brokers
        self._topic = topic
        self._client_id = client_id
        self._log = log
        self._set_aside = metrics.counter("cartwright_messages_dead_total", "Messages set aside.")
        self._referenced = metrics.counter(
            "cartwright_messages_referenced_total",
            "Messages set aside as a reference alone: their content is not kept.",
        )

    async def set_aside(self, record: ConsumerRecord, error: BaseException) -> None:
        """Write the message, or else a reference to it; CannotSetAside where the topic takes neither."""
        try:
            await self._send(whole(record, error))
        except _REFUSED as refusal:
            self._log.warning("only a reference can be set aside", offset=record.offset, error=repr(refusal))
            await self._send_reference(TopicPartition(record.topic, record.partition), record.offset, error, record)
        self._set_aside.inc()

    async def set_aside_unread(self, partition: TopicPartition, offset: int, error: BaseException) -> None:
        """Write a reference to a message that cannot be read; CannotSetAside where the topic does not take it."""
        await self._send_reference(partition, offset, error, None)
        self._set_aside.inc()

    async def _send_reference(
        self, partition: TopicPartition, offset: int, error: BaseException, record: ConsumerRecord | None
    ) -> None:
        try:
            await self._send(reference(partition, offset, error, record))
        except _REFUSED as refusal:
            raise CannotSetAside(self._reason(refusal)) from refusal
        self._referenced.inc()

    async def _send(self, letter: Letter) -> None:
        """Write a letter; CannotSetAside where Kafka or the topic is the cause, one of _REFUSED where the letter is."""
        try:
            async with (
                asyncio.timeout(SEND_SECONDS),
                kafka.connected_producer(self._brokers, self._client_id) as sender,
            ):
                await sender.send_and_wait(self._topic, letter.value, key=letter.key, headers=letter.headers)
        except _REFUSED:
            raise
        except (KafkaError, OSError) as error:
            raise CannotSetAside(self._reason(error)) from error

    def _reason(self, error: BaseException) -> str:
        return f"{self._topic}: {kafka.problem(error)}"
