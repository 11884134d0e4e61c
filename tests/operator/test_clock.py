"""An operator whose clock is an hour off deletes and mirrors as if it were right."""

from dataclasses import replace
from email.utils import formatdate

import pytest
import structlog
from prometheus_client import generate_latest

from checkout_operator import clock as module
from checkout_operator.cache import Ending
from checkout_operator.clock import ServerClock
from checkout_operator.mirrors import Decision, MirrorPolicy
from checkout_operator.projector import _ttl_from
from checkout_operator.status import seconds
from checkout_operator.sweeper import Sweeper
from checkout_operator.telemetry import Metrics
from tests.operator.views import over, rest

NOW = 1_790_000_000.0
"""The API server's time, and the database's."""
HOUR = 3600.0


class Machine:
    """The machine's clocks."""

    def __init__(self, skew):
        self.skew, self.passed = skew, 0.0

    def time(self):
        """Give the wall clock, which is off."""
        return NOW + self.skew + self.passed

    def monotonic(self):
        """Give the steady clock."""
        return self.passed


@pytest.fixture(params=[-HOUR, 0.0, HOUR], ids=["behind", "right", "ahead"])
def machine(request, monkeypatch):
    """A machine whose clock may be off."""
    machine = Machine(request.param)
    monkeypatch.setattr(module, "time", machine)
    return machine


@pytest.fixture
def clock(machine):
    """The API server's clock, once the API server has answered."""
    clock = ServerClock(Metrics())
    clock.observe(formatdate(NOW, usegmt=True))
    return clock


def test_the_api_servers_time_counts(clock):
    """The time is that of the API server, give or take the second that its answers have."""
    assert abs(clock.now() - NOW) <= 1


def test_what_is_no_date(machine):
    """An answer without a date that can be read leaves the machine's own time."""
    clock = ServerClock(Metrics())
    for odd in ("", "yesterday", "Thu, 99 Nov 2026 00:00:00 GMT"):
        clock.observe(odd)
    assert clock.now() == machine.time()


def test_a_clock_that_is_set(machine, clock):
    """A machine whose clock is put right later is followed, but not at each answer."""
    machine.skew = 0.0
    clock.observe(formatdate(NOW, usegmt=True))
    machine.passed = module.OBSERVE_SECONDS
    clock.observe(formatdate(NOW + machine.passed, usegmt=True))
    assert clock.now() == NOW + machine.passed


def test_it_is_shown(machine):
    """A metric says how far the clocks are apart."""
    metrics = Metrics()
    ServerClock(metrics).observe(formatdate(NOW, usegmt=True))
    shown = generate_latest(metrics.registry).decode()
    said = next(line for line in shown.splitlines() if line.startswith("checkout_operator_clock_skew_seconds"))
    assert abs(float(said.split()[1]) + machine.skew) <= 1


async def test_nothing_is_deleted_early_or_late(clock, cache, cluster, config, make):
    """A time to live is as long as it says."""
    sweeper = Sweeper(cache, cluster, config, structlog.get_logger(), clock=clock.now)
    for name, age in (("young", 290), ("old", 310)):
        cache.put(make(name))
        cache.end(make(name), Ending(NOW - age, NOW - age, failed=False))
    await sweeper.run_once()
    assert cluster.calls == [("delete", "old")]


@pytest.mark.parametrize(("age", "decision"), [(20, Decision.CREATE), (40, Decision.NOT_WANTED)])
def test_what_has_just_ended_is_mirrored(clock, cache, config, view, age, decision):
    """What ended within half a minute gets its mirror."""
    ended = replace(rest(over(view)), finished_ms=int((NOW - age) * 1000))
    assert MirrorPolicy(cache, config, clock=clock.now).decide(ended) is decision


@pytest.mark.parametrize("managed_by", ["operator", "mirror"])
def test_a_database_whose_clock_is_off(make, mirror, managed_by):
    """A checkout that ended in the future, or before its resource was created, by a clock that is off, counts from now or then."""
    resource = make("first") if managed_by == "operator" else mirror("c1")
    created = seconds(resource.created)
    assert _ttl_from(resource, created + HOUR, created + 10) == created + 10
    before = _ttl_from(resource, created - HOUR, created + 10)
    assert before == (created + 10 if managed_by == "operator" else created)
