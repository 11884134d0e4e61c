"""The filter of the list: what each field may hold, and what it asks for."""

import pytest

from services.console.criteria import FIELDS, PHASE_NAMES, read
from services.pb import checkout_pb2


def test_an_empty_filter_asks_for_everything():
    """Without fields, or with empty ones, nothing is left out and nothing is wrong."""
    for query in ({}, dict.fromkeys(FIELDS, " "), {"cursor": "x", "other": "1"}):
        asked = read(query)
        assert (asked.given, asked.problems, asked.message.ByteSize()) == ({}, {}, 0)


def test_each_field_becomes_a_condition():
    """Every field of a whole filter is in the message, in the service's own units."""
    query = {
        "user": "7",
        "phase": "Failed",
        "reason": "OutOfStock",
        "origin": "resource",
        "product": "5",
        "from": "2026-11-26T14:00",
        "to": "2026-11-26T15:00:00+01:00",
        "least": "$1,000.50",
        "most": "2000",
    }
    asked = read(query)
    message = asked.message
    assert asked.problems == {}
    assert (message.user_id, list(message.saga_steps), message.reason) == (7, ["FAILED"], "OutOfStock")
    assert (message.origin, message.product_id) == (checkout_pb2.RESOURCE, 5)
    assert message.created_from_ms == message.created_before_ms == 1795701600000
    assert (message.total_from_minor, message.total_to_minor) == (100050, 200000)
    assert "user=7" in asked.query
    assert "least=%241%2C000.50" in asked.query


def test_a_phase_is_all_of_its_steps():
    """A phase stands for every step that shows it, and Running for all that have not ended."""
    assert list(read({"phase": "Paying"}).message.saga_steps) == ["RESERVED", "PAYING"]
    assert set(read({"phase": "Running"}).message.saga_steps).isdisjoint({"COMPLETED", "FAILED"})
    assert all(read({"phase": name}).problems == {} for name in PHASE_NAMES)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("user", "abc"),
        ("user", "0"),
        ("user", "-1"),
        ("user", str(2**63)),
        ("user", "٣"),
        ("phase", "Sleeping"),
        ("reason", "Because"),
        ("origin", "mail"),
        ("product", "1.5"),
        ("from", "yesterday"),
        ("to", "2026-13-01"),
        ("least", "12.345"),
        ("least", "-1"),
        ("most", "NaN"),
        ("most", "1e30"),
        ("most", "lots"),
    ],
)
def test_what_cannot_be_used_is_named_and_left_out(field, text):
    """A field that makes no sense says what to write; the rest of the filter holds."""
    asked = read({field: text, "origin": "rest"} if field != "origin" else {field: text, "user": "1"})
    assert list(asked.problems) == [field]
    assert asked.problems[field].startswith(("write ", "choose "))
    assert asked.given[field] == text
    assert asked.message.HasField("origin" if field != "origin" else "user_id")
