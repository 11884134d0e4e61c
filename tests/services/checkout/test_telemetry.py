"""What is counted of sagas: each step, and each end with the time that the checkout took."""

from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.telemetry import Metrics
from services.checkout.domain import Origin, Reason, Session, Status, Step
from services.checkout.telemetry import SagaMetrics

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING = Session("c", 1, Origin.REST, "k", Status.PROCESSING, Step.RESERVED, (), 0, "USD", "", 1, 1, BEGUN)


@pytest.fixture(name="metrics")
def metrics_fixture():
    return Metrics()


@pytest.mark.parametrize(
    ("status", "step", "reason", "taken"),
    [(Status.COMPLETED, Step.COMPLETED, None, 1999), (Status.FAILED, Step.FAILED, Reason.PAYMENT_DECLINED, None)],
)
def test_an_end_is_counted_with_its_time(metrics, status, step, reason, taken):
    """A checkout that ends is counted by how it ended, with the time since its claim, and with what was taken."""
    ended = ended_after(90, status, step, reason)
    SagaMetrics(metrics).observe(ended)
    value = metrics.registry.get_sample_value
    assert value("cartwright_saga_steps_total", {"step": step, "reason": reason or ""}) == 1
    assert value("cartwright_taken_minor_total", {"currency": "USD"}) == taken
    assert value("cartwright_checkout_seconds_sum", {"status": status}) == 90
    assert value("cartwright_checkout_seconds_bucket", {"status": status, "le": "60.0"}) == 0
    assert value("cartwright_checkout_seconds_bucket", {"status": status, "le": "300.0"}) == 1


def test_a_step_on_the_way_is_no_end(metrics):
    """A step is counted, and no time with it, while the checkout goes on."""
    SagaMetrics(metrics).observe(RUNNING)
    value = metrics.registry.get_sample_value
    assert value("cartwright_saga_steps_total", {"step": "RESERVED", "reason": ""}) == 1
    assert [value("cartwright_checkout_seconds_count", {"status": one}) for one in ("COMPLETED", "FAILED")] == [0, 0]


def ended_after(seconds, status, step, reason):
    """Give a checkout that ended so long after its claim."""
    at = BEGUN + timedelta(seconds=seconds)
    return Session(
        "c", 1, Origin.REST, "k", status, step, (), 1999, "USD", "", 1, 1, BEGUN, finished_at=at, reason=reason
    )
