"""Messages of any shape, on the real Kafka: what cannot be applied is set aside, whole or as a reference, and stops nothing."""

import hashlib
import json

import pytest
import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.chassis import dead_letters, partition
from services.chassis.messages import message_of

NEVER = 10**3
LARGE = 1_048_508  # bytes: a batch with this value just fits into what a broker takes by default


def record(key=b"k", value=b"v", headers=(), offset=7):
    """Give a record as the client library reads it."""
    return ConsumerRecord("t", 2, offset, 0, 0, key, value, None, 0, 0, tuple(headers))


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ([("a", None)], {}),
        ([("a", b"\xff\xfe")], {"a": "\ufffd\ufffd"}),
        ([("a", b"1"), ("a", b"2"), ("a", None)], {"a": "2"}),
        ([("", b""), ("a", "\N{SNOWMAN}".encode())], {"": "", "a": "\N{SNOWMAN}"}),
    ],
)
def test_headers_of_any_shape_are_read(headers, seen):
    """Headers without a value, of bytes that are no text, or that come twice raise nothing."""
    assert message_of(record(key=None, value=None, headers=headers)).headers == seen


def test_a_dead_letter_keeps_every_byte():
    """Key, value and headers stay as they came; the origin replaces that of an earlier dead letter."""
    odd = [("a", None), ("b", b"\xff"), ("b", b""), ("original-offset", b"3")]
    letter = dead_letters.whole(record(key=None, value=None, headers=odd), ValueError("no"))
    assert (letter.key, letter.value) == (None, None)
    assert letter.headers[:3] == odd[:3]
    assert dict(letter.headers[3:]) == {
        "original-topic": b"t",
        "original-partition": b"2",
        "original-offset": b"7",
        "error": b"ValueError: no",
    }


def test_a_reference_is_small_and_names_the_message():
    """Whatever the size of key, value, headers and error, a reference stays small and says where the message is."""
    huge = record(key=b"k" * 10**6, value=b"v" * 10**6, headers=[("h", b"h" * 10**6)])
    letter = dead_letters.reference(TopicPartition("t", 2), 7, ValueError("x" * 10**6), huge)
    assert letter.key == b"t/2/7"
    facts = json.loads(letter.value)
    assert facts == {name: value.decode() for name, value in letter.headers}
    assert facts["original-sha256"] == hashlib.sha256(b"v" * 10**6).hexdigest()
    assert facts["original-length"] == str(10**6)
    assert len(letter.value) + sum(len(value) for _, value in letter.headers) < 2000


class Indescribable(Exception):
    """An error that cannot say what it is."""

    def __str__(self):
        raise ValueError("no words")


@pytest.mark.parametrize("error", [Indescribable(), ValueError("\ud800"), ValueError("\x00")])
def test_any_error_can_be_written_down(error):
    """An error's text may be made from the message itself, and be as odd."""
    assert dead_letters.whole(record(), error).headers
    assert dead_letters.reference(TopicPartition("t", 2), 7, error, record()).value


@pytest.fixture
def sample(metrics):
    """Give a metric's value."""
    return metrics.registry.get_sample_value


@pytest.fixture
def consume_to(line, new_consumer, consume_until):
    """Let a consumer run until an offset is committed."""

    async def consume_to(offset):
        async def holds():
            return await line.committed() == offset

        await consume_until(new_consumer(line), holds)

    return consume_to


@pytest.mark.real
@pytest.mark.parametrize(
    "shape",
    [
        {"headers": [("a", None)]},
        {"headers": [("a", b"\xff"), ("request_id", b"\xff"), ("traceparent", None)]},
        {"key": None},
        {"value": None},
        {"timestamp": 0},
        {"timestamp": -5},
    ],
    ids=str,
)
async def test_a_message_of_any_shape_is_handed_on(line, consume_to, handler, shape):
    """A missing key, value or header value, bytes that are no text and odd timestamps do not stop a consumer."""
    await line.send_record(**{"key": b"k", "value": b"odd"} | shape)
    await line.send("b")
    await consume_to(2)
    assert len(handler.applied) == 2
    assert await line.dead_letters() == []


@pytest.mark.real
async def test_a_message_that_cannot_be_applied_is_set_aside(line, consume_to, handler, sample):
    """It goes to the dead-letter topic with its content, its origin and the error; those around it are applied."""
    handler.faults["bad"] = [ValueError("no such thing")] * NEVER
    await line.send("a", "bad", "b", "c")
    await consume_to(4)
    assert handler.applied == ["a", "b", "c"]
    [dead] = await line.dead_letters()
    assert (dead.key, dead.value) == (b"key", b"bad")
    assert dict(dead.headers) == {
        "request_id": b"bad",
        "original-topic": line.topic.encode(),
        "original-partition": b"0",
        "original-offset": b"1",
        "error": b"ValueError: no such thing",
    }
    assert partition.ATTEMPTS <= handler.tried.count("bad") <= partition.ATTEMPTS + 1  # once in its batch, then alone
    assert sample("cartwright_messages_dead_total") == 1
    assert sample("cartwright_messages_referenced_total") == 0
    assert sample("cartwright_messages_consumed_total") == 3


class Panic(BaseException):
    """What a native library raises where it finds a mistake of its own."""


@pytest.mark.real
@pytest.mark.parametrize("fault", [Panic("p"), RecursionError("deep"), Indescribable(), ValueError("\ud800")], ids=repr)
async def test_whatever_a_handler_raises_is_the_messages_own_failure(line, consume_to, handler, fault):
    """No kind of error ends the consumer's process; the message is set aside and those around it are applied."""
    handler.faults["bad"] = [fault] * NEVER
    await line.send("a", "bad", "b")
    await consume_to(3)
    assert handler.applied == ["a", "b"]
    assert [dead.value for dead in await line.dead_letters()] == [b"bad"]


@pytest.mark.real
async def test_a_message_too_large_for_a_dead_letter_is_set_aside_as_a_reference(line, consume_to, handler, sample):
    """With its new headers it is more than the broker takes: its place and its digest are kept, and the next is applied."""
    large = b"x" * LARGE
    handler.faults[large.decode()] = [ValueError("bad")] * NEVER
    await line.send_record(None, large)
    await line.send("b")
    await consume_to(2)
    assert handler.applied == ["b"]
    [dead] = await line.dead_letters()
    headers = dict(dead.headers)
    assert dead.key == f"{line.topic}/0/0".encode()
    assert (headers["original-offset"], headers["original-length"]) == (b"0", str(LARGE).encode())
    assert headers["original-sha256"] == hashlib.sha256(large).hexdigest().encode()
    assert headers["error"] == b"ValueError: bad"
    assert sample("cartwright_messages_dead_total") == 1
    assert sample("cartwright_messages_referenced_total") == 1


@pytest.mark.real
async def test_a_message_without_key_and_value_is_set_aside(line, consume_to, handler):
    """The client library does not send such a message, so that a reference stands for it."""
    handler.faults[""] = [ValueError("bad")] * NEVER
    await line.send_record(None, None)
    await line.send("b")
    await consume_to(2)
    assert handler.applied == ["b"]
    [dead] = await line.dead_letters()
    assert dead.key == f"{line.topic}/0/0".encode()
    assert "original-length" not in dict(dead.headers)


@pytest.mark.real
async def test_a_tombstone_is_set_aside_as_one(line, consume_to, handler):
    """A message without a value that cannot be applied stays without a value."""
    handler.faults[""] = [ValueError("bad")] * NEVER
    await line.send_record(b"k", None)
    await consume_to(1)
    assert [(dead.key, dead.value) for dead in await line.dead_letters()] == [(b"k", None)]


@pytest.mark.real
async def test_a_message_that_cannot_be_read_is_set_aside_as_a_reference(line, consume_to, handler, sample):
    """The name of a header may be no text, which the client library cannot read: those around it are applied in order."""
    await line.send("a", "b")
    await line.send_undecodable(b"odd")
    await line.send("c")
    await line.send_undecodable(b"odd")
    await line.send("d", "e")
    await consume_to(7)
    assert handler.applied == ["a", "b", "c", "d", "e"]
    places = [json.loads(dead.value)["original-offset"] for dead in await line.dead_letters()]
    assert places == ["2", "4"]
    assert sample("cartwright_messages_referenced_total") == 2


@pytest.mark.real
async def test_a_dead_letter_topic_that_wants_keys_gets_a_reference(line, metrics):
    """A compacted dead-letter topic refuses a message without a key, and takes a reference, which has one."""
    compacted = f"{line.topic}.compacted"
    admin = AIOKafkaAdminClient(bootstrap_servers=line.servers)
    await admin.start()
    await admin.create_topics([NewTopic(compacted, 1, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    letters = dead_letters.DeadLetters(line.brokers, compacted, "test", log=structlog.get_logger(), metrics=metrics)
    await letters.set_aside(record(key=None), ValueError("bad"))
    [dead] = await line.read(compacted)
    assert dead.key == b"t/2/7"
