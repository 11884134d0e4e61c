"""The relay on the real Kafka, and without one."""

import asyncio
import json
import secrets

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.chassis import kafka as chassis_kafka
from services.chassis.brokers import Brokers
from services.chassis.kafka import make_topics
from services.checkout.relay import ATTEMPTS, KafkaPublisher
from services.errors import Unavailable

pytestmark = pytest.mark.real


@pytest.fixture
def kafka(stores):
    """The real Kafka."""
    return stores["KAFKA_BOOTSTRAP_SERVERS"]


async def test_kafka_gets_every_event_but_what_it_cannot_take(new_relay, write, row, kafka, eventually):
    """On the real Kafka events arrive in order with key and headers; one that is too large does not hold them up."""
    name = f"relay-{secrets.token_hex(4)}"
    await make_topics(Brokers(kafka), {name: 1}, replication=1)
    publisher = KafkaPublisher(Brokers(kafka), name)
    relay = new_relay(publisher=publisher)
    first = await write(2, '{"n": 1}')
    [large] = await write(1, json.dumps({"n": "x" * 2_000_000}))
    last = await write(2, '{"n": 3}')
    try:
        assert await relay.run_once() == 4
        assert await publisher.ready() == "ok"
    finally:
        await publisher.close()
    consumer = AIOKafkaConsumer(name, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        read = [await asyncio.wait_for(consumer.getone(), 10) for _ in range(4)]
    finally:
        await consumer.stop()
    assert [json.loads(one.value)["n"] for one in read] == [1, 1, 3, 3]
    assert {(one.key, one.headers) for one in read} == {(b"1", (("event_id", b"e"),))}
    assert all([(await row(event_id))["processed_at"] for event_id in first + last])
    assert "MessageSizeTooLarge" in (await row(large))["last_error"]


async def test_a_kafka_that_does_not_answer_is_unavailable(new_relay, write, row):
    """Where no broker is, nothing is known of the events, and they wait."""
    [event] = await write()
    publisher = KafkaPublisher(Brokers("127.0.0.1:1"), "nowhere")
    with pytest.raises(Unavailable):
        await new_relay(publisher=publisher).run_once()
    assert (await row(event))["attempts"] == 0
    assert await publisher.ready() == "Kafka does not answer (nowhere)"


async def test_an_event_that_the_broker_refuses_holds_up_no_other(new_relay, write, row, kafka):
    """A broker may take less than the client library sends: the event is left in the end, and the others are published."""
    name = f"relay-{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "20000"})])
    await admin.close()
    publisher = KafkaPublisher(Brokers(kafka), name)
    relay = new_relay(publisher=publisher)
    [large] = await write(1, json.dumps({"n": "x" * 100_000}))
    good = await write(2, '{"n": 1}')
    try:
        assert await relay.run_once() == 2
        for _ in range(ATTEMPTS - 1):
            assert await relay.run_once() == 0
        later = await write(1, '{"n": 2}')
        assert await relay.run_once() == 1
    finally:
        await publisher.close()
    assert (await row(large))["dead_at"]
    assert all([(await row(event_id))["processed_at"] for event_id in good + later])


async def test_a_topic_that_does_not_exist_is_not_called_an_outage(new_relay, write, row, kafka, monkeypatch):
    """Events wait for their topic, the readiness page says that it is missing, and once it exists they are published."""
    monkeypatch.setattr(chassis_kafka, "REQUEST_MS", 1000)
    name = f"relay-{secrets.token_hex(4)}"
    publisher = KafkaPublisher(Brokers(kafka), name)
    relay = new_relay(publisher=publisher)
    [event] = await write()
    try:
        for _ in range(ATTEMPTS + 1):
            with pytest.raises(Unavailable, match="the topic does not exist"):
                await relay.run_once()
        assert await publisher.ready() == f"the topic does not exist ({name})"
        assert (await row(event))["dead_at"] is None
        await make_topics(Brokers(kafka), {name: 1}, replication=1)
        assert await relay.run_once() == 1
    finally:
        await publisher.close()
