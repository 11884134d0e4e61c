"""Events are read as proto3's JSON mapping has them, or refused with a reason."""

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.proto_json import Int32, Int64, Reader, Unreadable
from services.pb import events_pb2


class Line(msgspec.Struct, rename="camel"):
    """A line of the event."""

    product_id: Int64 = 0
    product_name: str = ""
    quantity: Int32 = 0


class Event(msgspec.Struct, rename="camel"):
    """Some fields of the event."""

    checkout_id: str = ""
    user_id: Int64 = 0
    lines: tuple[Line, ...] = ()


read = Reader(Event)
INT64, INT32 = st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1)


@given(
    user=INT64, checkout=st.text(max_size=20), lines=st.lists(st.tuples(INT64, st.text(max_size=5), INT32), max_size=3)
)
def test_what_protobuf_writes_is_read(user, checkout, lines):
    """Whatever protobuf writes is read as it was, the largest numbers and absent fields included."""
    made = [events_pb2.PurchasedLine(product_id=a, product_name=b, quantity=c) for a, b, c in lines]
    event = events_pb2.CheckoutCompleted(user_id=user, checkout_id=checkout, lines=made)
    found = read(json_format.MessageToJson(event).encode())
    assert (found.user_id, found.checkout_id) == (user, checkout)
    assert [(one.product_id, one.product_name, one.quantity) for one in found.lines] == lines


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"userId": 9223372036854775808}',
        b'{"userId": "x"}',
        b'{"lines": 1}',
        b"[" * 10**5,
    ],
)
def test_anything_else_is_refused(value):
    """What is no such message is refused in one way."""
    with pytest.raises(Unreadable, match="the message"):
        read(value)
