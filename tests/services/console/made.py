"""Messages of the services, as the console gets them."""

from services.console.answers import Answer, AnswerState
from services.console.story import Parts
from services.pb import checkout_admin_pb2, checkout_pb2, inventory_pb2, orders_pb2, payment_pb2

ID = "1a8f9499-04b9-45f5-8d0e-15fd9a60d51b"
ORDER = "f09e89bd-5501-45e9-9293-50d1ef22344e"
TRACE = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000_000
NONE = Answer("orders", AnswerState.NONE)
AWAY = Answer("orders", AnswerState.AWAY)


def step(name, state="done", began=0, ended=0, attempts=1):
    """A step that began so many milliseconds ago, and ended so many ago."""
    finished = 0 if state == "running" else NOW - ended
    return checkout_pb2.StepRecord(
        name=name, state=state, attempts=attempts, started_at_ms=NOW - began, finished_at_ms=finished
    )


def checkout(saga_step="COMPLETED", **more):
    """A checkout of two laptops in a step."""
    status = {"COMPLETED": checkout_pb2.COMPLETED, "FAILED": checkout_pb2.FAILED}.get(
        saga_step, checkout_pb2.PROCESSING
    )
    facts = {
        "id": ID,
        "user_id": 7,
        "status": status,
        "saga_step": saga_step,
        "total_minor": 259998,
        "currency": "USD",
        "order_id": ORDER,
        "origin": checkout_pb2.REST,
        "idempotency_key": "first",
        "created_at_ms": NOW - 60_000,
        "finished_at_ms": 0 if status == checkout_pb2.PROCESSING else NOW - 59_000,
        "lines": [
            checkout_pb2.Line(product_id=1, product_name="Laptop", quantity=2, unit_price_minor=129999),
        ],
        "version": 3,
    }
    return checkout_pb2.Checkout(**facts | more)


def inspected(saga_step="COMPLETED", *, of=None, **more):
    """What the checkout service says of a checkout."""
    facts = {
        "checkout": of or checkout(saga_step),
        "request_id": "req-1",
        "traceparent": f"00-{TRACE}-0123456789abcdef-01",
        "buys_cart": True,
        "lease_epoch": 1,
        "lease_owner": "host/1/aa",
        "driven": False,
        "cancel_after_ms": NOW + 240_000,
        "now_ms": NOW,
    }
    return checkout_admin_pb2.InspectCheckoutResponse(**facts | more)


def event(**more):
    """The event of a completed checkout, published at once."""
    facts = {"event_id": "event-1", "created_at_ms": NOW - 59_000, "published_at_ms": NOW - 58_900, "attempts": 1}
    return checkout_admin_pb2.OutboxEvent(**facts | more)


def found(message):
    """An answer of a part."""
    return Answer("a part", AnswerState.FOUND, message)


def payment(state=payment_pb2.CAPTURED, **more):
    """The payment of a checkout."""
    facts = {"checkout_id": ID, "state": state, "amount_minor": 259998, "currency": "USD", "attempts": 1}
    return payment_pb2.PaymentRecord(**facts | {"created_at_ms": NOW - 59_500, "decided_at_ms": NOW - 59_300} | more)


def reservation(state=inventory_pb2.CONFIRMED):
    """The reservation of a checkout."""
    lines = [inventory_pb2.ReservationLine(product_id=1, quantity=2)]
    return inventory_pb2.ReservationRecord(checkout_id=ID, state=state, lines=lines, changed_at_ms=NOW - 59_000)


def order():
    """The order of a completed checkout."""
    return orders_pb2.Order(id=ORDER, checkout_id=ID, user_id=7, total_minor=259998, currency="USD")


def parts(of, paid=None, held=None, ordered=NONE):
    """A checkout and what the services hold of it."""
    return Parts(
        of,
        found(paid) if paid else Answer("payment", AnswerState.NONE),
        found(held) if held else Answer("inventory", AnswerState.NONE),
        ordered,
    )
