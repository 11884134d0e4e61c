"""What a checkout looks like as a message. Shoppers' calls and those of staff give the same one."""

from datetime import datetime

from services.checkout.domain import Origin, Resource, Session
from services.checkout.saga import shown_step
from services.pb import checkout_pb2 as pb


def checkout_message(session: Session) -> pb.Checkout:
    """Return a checkout as callers get it."""
    return pb.Checkout(
        id=session.id,
        user_id=session.user_id,
        status=session.status.value,
        step=shown_step(session),
        reason=session.reason or "",
        total_minor=session.total_minor,
        currency=session.currency,
        lines=[
            pb.Line(
                line_id=line.line_id or "",
                product_id=line.product_id,
                product_name=line.name,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
            )
            for line in session.lines
        ],
        steps=[
            pb.StepRecord(
                name=step.name,
                state=step.state,
                attempts=step.attempts,
                started_at_ms=milliseconds(step.started_at),
                finished_at_ms=milliseconds(step.finished_at),
            )
            for step in session.steps
        ],
        order_id=session.order_id,
        version=session.version,
        created_at_ms=milliseconds(session.created_at),
        finished_at_ms=milliseconds(session.finished_at),
        saga_step=session.step,
        origin=pb.REST if session.origin is Origin.REST else pb.RESOURCE,
        idempotency_key=session.key,
        resource=_reference(session.resource),
        note=session.last_error or "",
        traceparent=session.traceparent,
    )


def _reference(resource: Resource | None) -> pb.ResourceRef:
    if resource is None:
        return pb.ResourceRef()
    return pb.ResourceRef(uid=resource.uid, namespace=resource.namespace, name=resource.name)


def milliseconds(when: datetime | None) -> int:
    """Return a time as milliseconds since the epoch; 0 for a time that has not come."""
    return int(when.timestamp() * 1000) if when else 0
