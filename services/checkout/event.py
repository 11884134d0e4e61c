"""The event that tells of a completed checkout, as it stands in the outbox and on the topic."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.checkout.domain import Session


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the outbox; `key` is the user, whose events keep their order."""

    id: int
    key: str
    payload: bytes
    headers: dict[str, str]


def completed_event(session: Session, event_id: str, now: datetime) -> str:
    """Return the proto3 JSON of CheckoutCompleted, in which numbers of 64 bits are text.

    It is built here, since protobuf's own encoder costs more than a step of the saga.
    """
    event = {
        "eventId": event_id,
        "checkoutId": session.id,
        "userId": str(session.user_id),
        "orderId": session.order_id,
        "lines": [
            {
                "lineId": line.line_id or "",
                "productId": str(line.product_id),
                "productName": line.name,
                "quantity": line.quantity,
                "unitPriceMinor": str(line.unit_price_minor),
            }
            for line in session.lines
        ],
        "totalMinor": str(session.total_minor),
        "currency": session.currency,
        "completedAtMs": str(int(now.timestamp() * 1000)),
    }
    return msgspec.json.encode(event).decode()
