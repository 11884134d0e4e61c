"""The event of a completed checkout is proto3 JSON, which is built without protobuf's own encoder."""

from dataclasses import replace
from datetime import UTC, datetime

from google.protobuf.json_format import Parse
from hypothesis import given
from hypothesis import strategies as st

from services.checkout.domain import Line
from services.checkout.event import completed_event
from services.pb import events_pb2 as pb
from tests.services.checkout.claims import make_claim, make_session

IDS = st.integers(1, 2**63 - 1)
LINES = st.builds(
    Line,
    line_id=st.sampled_from([None, "l1"]),
    product_id=IDS,
    name=st.text(st.characters(exclude_categories=("Cs",))),
    unit_price_minor=st.integers(0, 2**40),
    quantity=st.integers(1, 9999),
)


@given(IDS, st.lists(LINES, max_size=3), IDS)
def test_the_event_is_the_message(user, lines, total) -> None:
    """Whoever reads the JSON by the proto gets every field as it was, whatever its value."""
    session = replace(make_session(make_claim(user, lines=tuple(lines))), total_minor=total)
    now = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    read = Parse(completed_event(session, "e", now), pb.CheckoutCompleted())
    assert read == pb.CheckoutCompleted(
        event_id="e",
        checkout_id=session.id,
        user_id=user,
        order_id=session.order_id,
        lines=[
            pb.PurchasedLine(
                line_id=line.line_id or "",
                product_id=line.product_id,
                product_name=line.name,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
            )
            for line in lines
        ],
        total_minor=total,
        currency="USD",
        completed_at_ms=int(now.timestamp() * 1000),
    )
