"""promtool's own verdict on the chart's rules, and on each case of them. `make rules` runs these."""

import subprocess

import pytest

from devstack import prometheus
from tests.rules.conftest import TESTS

pytestmark = pytest.mark.real


def ran(*words):
    """Run promtool; give what it printed, and fail where it found a fault."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_are_as_prometheus_wants_them(promtool, groups):
    """Promtool takes the file of rules as the chart has it, and finds each of them, none twice."""
    said = ran(promtool, "check", "rules", "--lint=all", "--lint-fatal", prometheus.RULES)
    assert f"SUCCESS: {sum(len(group['rules']) for group in groups)} rules found" in said


@pytest.mark.parametrize("cases", sorted(TESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(promtool, cases):
    """Each alert fires, with the text that a person reads, where its fault is, and stays quiet where it is not."""
    ran(promtool, "test", "rules", cases)
