"""The chart's rules, their tests, and promtool."""

import pytest
import yaml

from devstack import prometheus
from devstack.home import ROOT, user_environment

TESTS = ROOT / "tests" / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"


@pytest.fixture(scope="session")
def groups():
    """Give the groups of rules."""
    return yaml.safe_load(prometheus.RULES.read_text())["groups"]


@pytest.fixture(scope="session")
def alerts(groups):
    """Give every rule that alerts."""
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.fixture(scope="session")
def cases():
    """Give every case of promtool's: (file, case)."""
    return [(path, case) for path in sorted(TESTS.glob("*.yaml")) for case in yaml.safe_load(path.read_text())["tests"]]


@pytest.fixture(scope="session")
def promtool():
    """Give promtool, built where it is missing."""
    return prometheus.find("promtool", user_environment(), print)
