"""The event that tells of a completed checkout, as it stands in the outbox and on the topic."""

from datetime import datetime

from google.protobuf.json_format import MessageToJson

from services.checkout.domain import Session
from services.pb import events_pb2 as pb


def completed_event(session: Session, event_id: str, now: datetime) -> str:
    """Return the proto3 JSON of CheckoutCompleted."""
    return MessageToJson(
        pb.CheckoutCompleted(
            event_id=event_id,
            checkout_id=session.id,
            user_id=session.user_id,
            order_id=session.order_id,
            lines=[
                pb.PurchasedLine(
                    line_id=line.line_id,
                    product_id=line.product_id,
                    product_name=line.name,
                    quantity=line.quantity,
                    unit_price_minor=line.unit_price_minor,
                )
                for line in session.lines
            ],
            total_minor=session.total_minor,
            currency=session.currency,
            completed_at_ms=int(now.timestamp() * 1000),
        ),
        indent=None,
    )
