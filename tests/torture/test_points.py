"""How points get their names, and which schedules come of them."""

import bson
import pytest

from tests.torture.points import APPLICABLE, Fault, Kind, Point, api_request, mongo_command, redis_command, statement


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE checkout_sessions SET step = $1", "UPDATE checkout_sessions"),
        ("\nINSERT INTO orders.orders (id) VALUES ($1)", "INSERT orders.orders"),
        ("DELETE FROM outbox_events WHERE id < $1", "DELETE outbox_events"),
        ("SELECT ord,\n  id FROM claim_carts($1, $2)", "SELECT claim_carts"),
        ("COMMIT;", "COMMIT"),
        ("BEGIN ISOLATION LEVEL READ COMMITTED;", None),
        ("SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new", None),
        ("WITH RECURSIVE typeinfo_tree( oid ) AS (SELECT 1)", None),
    ],
)
def test_a_statement_is_named_by_what_it_does(sql, what) -> None:
    """A statement is known by its verb and its table or function; what the driver sends for itself is no point."""
    assert statement(sql) == what


def test_commands_are_named_by_what_they_do() -> None:
    """A pipeline to Redis is known by its first command, and the cart's script by its operation; a greeting is no point."""
    key = [b"cart:7", b"cart:7:w", b"cart:7:l"]
    words = [b"EVALSHA", b"0" * 40, b"3", *key, b"begin", b"5000"]
    script = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    assert redis_command(script) == "EVALSHA begin"
    assert redis_command(b"*2\r\n$4\r\nPTTL\r\n$6\r\ncart:7\r\n*2\r\n$3\r\nGET\r\n$6\r\ncart:7\r\n") == "PTTL"
    assert redis_command(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n") is None
    for name, what in (("update", "update"), ("hello", None)):
        body = bson.encode({name: "carts"})
        head = (16 + 5 + len(body)).to_bytes(4, "little") + bytes(8) + (2013).to_bytes(4, "little")
        assert mongo_command(head + bytes(5) + body) == what


def test_requests_are_named_without_the_names_in_them() -> None:
    """A request to the API server is known by its verb and resource; reading and writing have different faults."""
    one = "/apis/cartwright.dev/v1alpha1/namespaces/default/checkouts"
    assert api_request("PATCH", f"{one}/first/status", "") == (Kind.API, "PATCH checkouts/status")
    assert api_request("GET", one, "limit=250") == (Kind.API_READ, "GET checkouts")
    assert api_request("GET", one, "watch=true") is None
    assert api_request("GET", "/version", "") is None


def test_a_point_is_read_as_it_is_written() -> None:
    """A failure prints a point that the command line takes."""
    point = Point("checkout-relay", Kind.SQL, "outbox.mark: UPDATE outbox_events")
    assert Point.parse(str(point)) == point
    assert set(APPLICABLE) == set(Kind)
    assert {fault for faults in APPLICABLE.values() for fault in faults} == set(Fault)
