"""A Kafka message as handlers see it. Anybody may write to a topic, so that every part of it may be missing or odd."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from services.chassis import call


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    """None is a tombstone: Kafka's mark that the key was deleted."""
    headers: Mapping[str, str]
    """Text. Headers without a value are left out; bytes that are not UTF-8 are replaced by U+FFFD; of two headers of one
    name the last one counts."""

    @property
    def trace_id(self) -> str:
        """The trace that led to it, in 32 hexadecimal digits; empty where it names none."""
        return call.trace_id(self.headers.get("traceparent", ""))


Handle = Callable[[Sequence[Message]], Awaitable[None]]
"""Applies messages of one partition in their order. It must be idempotent: a message may come again. Transient means that
the same messages may succeed later; any other error means that one of them cannot be applied."""


def message_of(record: ConsumerRecord) -> Message:
    """Convert a record of the client library."""
    return Message(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        {name: value.decode(errors="replace") for name, value in record.headers if value is not None},
    )
