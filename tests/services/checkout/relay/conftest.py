"""Relays, with a topic in memory, and the outbox that they read."""

import pytest
import structlog

from services.chassis.telemetry import Metrics
from services.checkout.relay import Relay
from services.checkout.store.outbox import PostgresOutbox

INSERT = """
INSERT INTO checkout.outbox_events (event_id, event_type, aggregate_id, partition_key, payload, headers)
VALUES (gen_random_uuid(), 'checkout.completed', gen_random_uuid(), $1, $2, '{"event_id": "e"}') RETURNING id"""


class MemoryTopic:
    """Fits the port Publisher; `before` and `after` are what ends a call before or after its events are there."""

    def __init__(self):
        self.there, self.poison = [], set()
        self.before = self.after = None

    async def publish(self, events):
        if self.before:
            raise self.before
        good = [event.id for event in events if event.id not in self.poison]
        self.there += good
        if self.after:
            raise self.after
        return [event.id if event.id in good else ValueError("too large") for event in events]


@pytest.fixture
def topic():
    """A topic that takes everything."""
    return MemoryTopic()


@pytest.fixture
def metrics():
    """The metrics of one relay."""
    return Metrics()


@pytest.fixture
def new_relay(db, topic):
    """Give a relay of a process."""

    def new_relay(owner="a", metrics=None, publisher=topic):
        outbox = PostgresOutbox(db, owner=owner)
        return Relay(outbox, publisher, log=structlog.get_logger(), metrics=metrics or Metrics())

    return new_relay


@pytest.fixture
def relay(new_relay, metrics):
    """The relay."""
    return new_relay(metrics=metrics)


@pytest.fixture
def write(db):
    """Commit events, and give their ids."""

    async def write(number=1, payload="{}"):
        return [(await db.fetch(INSERT, "1", payload))[0]["id"] for _ in range(number)]

    return write


@pytest.fixture
def row(db):
    """Give the row of an event."""

    async def row(event_id):
        return (await db.fetch("SELECT * FROM outbox_events WHERE id = $1", event_id))[0]

    return row
