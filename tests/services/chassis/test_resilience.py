"""Breakers and retry budgets."""

import pytest

from services.chassis.resilience import CircuitBreaker, Retrier, RetryBudget
from services.chassis.telemetry import Metrics
from services.errors import Invalid, Unavailable


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _open(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker("part", Metrics(), clock=clock)
    for _ in range(20):
        breaker.admit()
        breaker.record(ok=False)
    return breaker


def test_opens_after_half_of_twenty_calls_failed() -> None:
    """A breaker stays closed below twenty calls, and opens once half of them have failed and nothing is answered any more."""
    clock = Clock()
    breaker = CircuitBreaker("part", Metrics(), clock=clock)
    for number in range(19):
        breaker.admit()
        breaker.record(ok=number % 2 == 0)
    clock.now = 2.1
    assert not breaker.is_open
    breaker.admit()
    breaker.record(ok=False)
    assert breaker.is_open


def test_slowness_alone_opens_no_breaker() -> None:
    """A dependency that answers some calls, however few, is busy and not away: the others are late, and none is refused."""
    clock = Clock()
    breaker = CircuitBreaker("part", Metrics(), clock=clock)
    for number in range(400):
        breaker.admit()
        breaker.record(ok=number % 20 == 0)
        clock.now += 0.05
    assert not breaker.is_open
    for _ in range(45):
        clock.now += 0.05
        if not breaker.is_open:
            breaker.admit()
            breaker.record(ok=False)
    assert breaker.is_open


def test_an_open_breaker_refuses_as_unavailable() -> None:
    """An open breaker refuses calls as not done, and says when to come back."""
    with pytest.raises(Unavailable) as refused:
        _open(Clock()).admit()
    assert 0 < refused.value.retry_after <= 5


def test_one_probe_decides() -> None:
    """After the pause one call passes; its success closes the breaker, its failure opens it again."""
    clock = Clock()
    breaker = _open(clock)
    clock.now = 5.1
    breaker.admit()
    with pytest.raises(Unavailable):
        breaker.admit()
    breaker.record(ok=False)
    assert breaker.is_open
    clock.now = 10.3
    breaker.admit()
    breaker.record(ok=True)
    assert not breaker.is_open


def test_old_failures_are_forgotten() -> None:
    """Failures older than the window do not count."""
    clock = Clock()
    breaker = CircuitBreaker("part", Metrics(), clock=clock)
    for _ in range(19):
        breaker.admit()
        breaker.record(ok=False)
    clock.now = 11
    breaker.admit()
    breaker.record(ok=False)
    assert not breaker.is_open


def test_the_budget_bounds_retries() -> None:
    """Retries beyond the reserve are a tenth of the calls."""
    budget = RetryBudget()
    assert sum(budget.spend() for _ in range(100)) == 10
    for _ in range(50):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) in {4, 5}


async def test_a_refusal_is_not_repeated() -> None:
    """What can never succeed is not sent again; what may succeed is, up to the attempts."""
    calls = []

    async def refuse() -> None:
        calls.append("invalid")
        raise Invalid("no")

    async def away() -> None:
        calls.append("away")
        raise Unavailable("away")

    retry = Retrier("part", Metrics())
    with pytest.raises(Invalid):
        await retry(refuse)
    with pytest.raises(Unavailable):
        await retry(away)
    assert calls == ["invalid", "away", "away", "away"]
