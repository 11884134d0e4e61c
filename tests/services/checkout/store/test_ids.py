"""Ids of 64 bits through both stores of checkouts, and into the event."""

from datetime import UTC, datetime

from google.protobuf.json_format import Parse

from services.checkout.domain import Line, Origin, Step
from services.checkout.event import completed_event
from services.pb.events_pb2 import CheckoutCompleted
from tests.plain import assert_plain, edge_ids


@edge_ids
async def test_ids_of_64_bits_come_back_as_plain_numbers(sessions, table, make_claim, bring, edge):
    """A checkout of a user and products with ids of any size is claimed, moved, announced and found with these numbers."""
    session = await sessions.claim(make_claim(edge, lines=(Line("l1", edge, "Laptop", 100, 2),), version=edge))
    assert (session.user_id, session.lines[0].product_id) == (edge, edge)
    assert_plain(session)
    ended = await bring(sessions, session, Step.COMPLETED)
    assert_plain(ended)
    assert_plain(await sessions.uncleared_purchases(edge))
    assert_plain(await sessions.conflicting(edge, edge - 1))
    assert await table.events() == [(ended.id, str(edge), ended.order_id)]
    assert_plain(await sessions.find(edge, Origin.REST, "k"))
    assert_plain(await sessions.get(edge, ended.id))
    assert_plain(await sessions.oldest_running_seconds())
    event = Parse(completed_event(ended, "e", datetime.now(UTC)), CheckoutCompleted())
    assert (event.user_id, event.lines[0].product_id) == (edge, edge)
