"""Publishes the outbox: reads waiting events, produces them, waits for the acknowledgements, and marks them as published.

A crash at any point repeats events and loses none. One relay publishes at a time, by a lease row. An advisory lock would
outlive a stopped client; with SKIP LOCKED two relays would publish one user's events out of order.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.chassis import call, kafka, tracing
from services.chassis.brokers import Brokers
from services.chassis.logs import Logger
from services.chassis.telemetry import Metrics
from services.checkout.event import Event
from services.errors import Unavailable

BATCH = 100
REST_SECONDS = 0.04
"""How long events gather after a round that published some. A round costs two statements, a request to Kafka and a batch in
each consumer, however many events it carries. An event that comes alone does not meet this pause: no round was before it."""
LEASE_SECONDS = 5.0
ATTEMPTS = 5
ACK_SECONDS = 5.0
SWEEP_BATCH = 1000


class Outbox(Protocol):
    """The table of events, as one process has it."""

    async def lead(self, seconds: float) -> bool:
        """Take or renew the lease of the leadership for so many seconds; return whether this process leads."""

    async def resign(self) -> None:
        """Give the leadership up, so that another relay need not wait until the lease ends."""

    async def waiting(self, limit: int) -> tuple[Sequence[Event], int, float]:
        """Return up to `limit` events that wait, oldest first; how many wait in all; and the age of the oldest in seconds."""

    async def mark(self, ids: Sequence[int]) -> None:
        """Note that events were published."""

    async def failed(self, event_id: int, error: str, attempts: int) -> bool:
        """Count a failed attempt of an event; return whether it is given up, which it is after `attempts`."""

    async def sweep(self, limit: int) -> int:
        """Delete up to `limit` events that were published long ago, and return how many."""


class Publisher(Protocol):
    """The topic that events are published to."""

    async def publish(self, events: Sequence[Event]) -> Sequence[int | Exception]:
        """Publish, and return for each event its id once acknowledged, or the error that bars it for good.

        Unavailable: it is unknown which events were published.
        """


class KafkaPublisher:
    """Fits the port Publisher."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._problem = "not connected"
        self._closing: set[asyncio.Task[None]] = set()

    async def publish(self, events: Sequence[Event]) -> Sequence[int | Exception]:
        """Publish in order, and wait for every acknowledgement."""
        try:
            producer = await self._connected()
            async with asyncio.timeout(ACK_SECONDS):
                sending = [self._send(producer, event) for event in events]
                return list(await asyncio.gather(*sending))
        except (KafkaError, TimeoutError, OSError) as error:
            self._problem = f"{kafka.problem(error)} ({self._topic})"
            await self.close()  # its buffer may hold events, which the outbox sends again
            raise Unavailable(self._problem) from error

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        return "ok" if self._producer else self._problem

    async def close(self) -> None:
        """Close the connection. What does not end in time ends in the background: the producer gives up its messages."""
        producer, self._producer = self._producer, None
        if producer is not None:
            closing = asyncio.create_task(producer.stop())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            await asyncio.wait({closing}, timeout=ACK_SECONDS)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = kafka.producer(self._brokers, "checkout-relay")
            try:
                async with asyncio.timeout(ACK_SECONDS):
                    await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _send(self, producer: AIOKafkaProducer, event: Event) -> int | Exception:
        with tracing.follow(f"send {self._topic}", tracing.Kind.PRODUCER, *_ids(event)) as span:
            span.set("messaging.system", "kafka")
            span.set("messaging.destination.name", self._topic)
            now = call.current()
            try:
                # What a consumer does with the event belongs under its publication.
                written = event.headers | ({} if now.spans is None else {"traceparent": now.traceparent})
                headers = [(name, value.encode()) for name, value in written.items()]
                await producer.send_and_wait(self._topic, event.payload, key=event.key.encode(), headers=headers)
            except kafka.REFUSED_MESSAGE as error:
                span.fail(type(error).__name__)
                failure: Exception = error
                return failure
            except (KafkaError, TimeoutError, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - it is about this event, and ends in the event's row
                span.fail(type(error).__name__)
                return error
            return event.id


def _ids(event: Event) -> tuple[str, str]:
    """Return the request id and the traceparent of the purchase that an event tells of."""
    return event.headers.get("request_id", ""), event.headers.get("traceparent", "")


class Relay:
    """The relay worker."""

    def __init__(self, outbox: Outbox, publisher: Publisher, *, log: Logger, metrics: Metrics) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._log = log
        self._published = metrics.counter("cartwright_outbox_published_total", "Events published.")
        self._dead = metrics.counter("cartwright_outbox_dead_total", "Events given up.")
        self._depth = metrics.gauge("cartwright_outbox_waiting", "Events that wait to be published.")
        self._age = metrics.gauge("cartwright_outbox_oldest_seconds", "Age of the oldest event that waits.")
        self._leads_until = 0.0

    async def run_once(self) -> int:
        """Publish a batch if this relay leads, and return how many events were published."""
        if not await self._leads():
            self._depth.set(0)  # the leader reports it; what this relay saw while it led is out of date
            self._age.set(0)
            return 0
        events, depth, age = await self._outbox.waiting(BATCH)
        self._depth.set(depth)
        self._age.set(age)
        if not events:
            return 0
        outcomes = await self._publisher.publish(events)
        done = [outcome for outcome in outcomes if isinstance(outcome, int)]
        await self._outbox.mark(done)
        for event, outcome in zip(events, outcomes, strict=True):
            if isinstance(outcome, Exception):
                await self._failed(event, outcome)
            else:
                with call.within(call.incoming(*_ids(event), seconds=None)):
                    self._log.info("published", event_id=event.headers.get("event_id"))
        self._published.inc(len(done))
        return len(done)

    async def sweep(self) -> int:
        """Delete a batch of events that were published long ago, and return how many."""
        return await self._outbox.sweep(SWEEP_BATCH)

    async def resign(self) -> None:
        """Give the leadership up, so that another relay need not wait until the lease ends."""
        await self._outbox.resign()

    async def _leads(self) -> bool:
        """Return whether this relay leads; it renews the lease when half of it is over."""
        now = asyncio.get_running_loop().time()
        if now < self._leads_until:
            return True
        leads = await self._outbox.lead(LEASE_SECONDS)
        if leads:
            self._leads_until = now + LEASE_SECONDS / 2
        return leads

    async def _failed(self, event: Event, error: Exception) -> None:
        if await self._outbox.failed(event.id, repr(error)[:500], ATTEMPTS):
            self._dead.inc()
            self._log.error("an event cannot be published", event_id=event.headers.get("event_id"), error=repr(error))
