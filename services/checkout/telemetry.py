"""What the checkout service counts of its sagas, whichever process drives them."""

from services.chassis.telemetry import Metrics
from services.checkout.domain import Session, Status

DURATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
"""In seconds: from a purchase that meets nothing to one that waited for the payment provider."""


class SagaMetrics:
    """Counts the steps of sagas, and how long each took from its claim to its end."""

    def __init__(self, metrics: Metrics) -> None:
        self._steps = metrics.counter("cartwright_saga_steps_total", "Steps that sagas took.", ("step", "reason"))
        took = metrics.histogram(
            "cartwright_checkout_seconds",
            "How long checkouts took that ended, by how they ended.",
            ("status",),
            DURATION_BUCKETS,
        )
        self._taken = metrics.counter(
            "cartwright_taken_minor_total", "Totals of completed checkouts, in minor units.", ("currency",)
        )
        self._took = {status: took.labels(status) for status in (Status.COMPLETED, Status.FAILED)}

    def observe(self, session: Session) -> None:
        """Count a step that was written."""
        self._steps.labels(session.step, session.reason or "").inc()
        if session.status is Status.COMPLETED:
            self._taken.labels(session.currency).inc(session.total_minor)
        if session.finished_at is not None and session.status in self._took:
            self._took[session.status].observe(max(0.0, (session.finished_at - session.created_at).total_seconds()))
