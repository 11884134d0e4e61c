"""What the load generator makes of bytes."""

import pytest

from tests.bench.wire import Answer, NotHttp, cut, request

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n"


@pytest.mark.parametrize(("wire", "body"), [(PLAIN, b"hello"), (CHUNKED, b"hello world")])
def test_an_answer_is_whole_or_none(wire, body) -> None:
    """An answer is given once its last byte has come, and not before; what follows stays."""
    for length in range(len(wire)):
        assert cut(wire[:length]) is None
    assert cut(wire + b"HTTP/1.1") == (Answer(200, body), len(wire))


def test_a_connection_that_ends_is_not_used_again() -> None:
    """Where the server says that it closes the connection, the answer says so."""
    found = cut(b"HTTP/1.1 503 Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert found
    assert found[0] == Answer(503, b"", reusable=False)


@pytest.mark.parametrize("wire", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nDate: today\r\n\r\n"])
def test_what_is_no_answer_is_refused(wire) -> None:
    """Another protocol, or an answer without a length, is an error and no endless wait."""
    with pytest.raises(NotHttp):
        cut(wire)


def test_a_request_names_its_user_and_length() -> None:
    """A request is complete: user, length and body."""
    wire = request("POST", "/x", user=7, body={"a": 1})
    assert wire.startswith(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User-Id: 7\r\n")
    assert wire.endswith(b'Content-Length: 8\r\n\r\n{"a": 1}')
