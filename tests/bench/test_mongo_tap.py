"""What the tap reads of the messages that pass it."""

import struct

import bson
import pytest

from tests.bench.mongo_tap import HEAD, command

OP_MSG, OP_QUERY = 2013, 2004


def message(*sections: bytes, kind: int = OP_MSG) -> bytes:
    """Give a message of the wire protocol."""
    rest = struct.pack("<I", 0) + b"".join(sections)
    return HEAD.pack(HEAD.size + len(rest), 1, 0, kind) + rest


BODY = b"\0" + bson.encode({"insert": "carts", "$db": "cartdb"})
DOCUMENTS = b"documents\0" + bson.encode({"user_id": 1})
SEQUENCE = b"\1" + struct.pack("<i", len(DOCUMENTS) + 4) + DOCUMENTS


@pytest.mark.parametrize("sections", [(BODY,), (BODY, SEQUENCE), (SEQUENCE, BODY)])
def test_a_message_names_its_command(sections) -> None:
    """The command is the first member of the body, wherever in the message the body stands."""
    assert command(message(*sections)) == "insert"


def test_a_greeting_of_the_old_kind_is_no_command() -> None:
    """What is no OP_MSG is called legacy; drivers greet a server with it."""
    assert command(message(b"admin.$cmd\0", kind=OP_QUERY)) == "legacy"
