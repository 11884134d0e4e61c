"""What the tests of applied checkouts share: the platform's API server, its bank and its operator."""

import os
import secrets

import pytest

from devstack.home import ROOT
from tests.scene import Scene

SOLD = "SELECT count(*) AS n FROM transactions WHERE user_id = $1 AND state = 'CAPTURED'"


@pytest.fixture
def bought(platform):
    """Give how often a user was charged."""
    return lambda shopper: platform.sql(SOLD, shopper.user_id, bank=True)[0]["n"]


@pytest.fixture
def restart(platform, eventually):
    """Kill the operator, and wait until another is there and ready."""

    def restart():
        before = platform.stack.kill("operator")
        eventually(lambda: platform.stack.pid("operator") not in {0, before}, 60)
        platform.stack.wait_ready("operator", timeout=60)

    return restart


@pytest.fixture
def scene(platform, monkeypatch):
    """Make scenes: namespaces with operators of the test's own."""
    monkeypatch.setenv("KUBECONFIG", str(platform.stack.home.operator_kubeconfig))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "operator")]))
    session, made = secrets.token_hex(3), []

    def make():
        made.append(Scene(platform, f"scene-{session}-{len(made)}"))
        return made[-1]

    yield make
    for one in made:
        one.clear()
