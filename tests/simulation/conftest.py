"""What every test of the simulation needs: a quiet collector of garbage, and retries that do not log."""

import gc
import subprocess
import sys

import pytest
import stamina

from devstack.home import ROOT, user_environment
from tests.simulation.run import prepare

SEEDS = 200
"""How many schedules run with every test; `make simulate` runs as many as one likes."""


@pytest.fixture(autouse=True, scope="package")
def quiet():
    """Set the process up for schedules, and back afterwards."""
    hooks = stamina.instrumentation.get_on_retry_hooks()
    prepare()
    yield
    gc.enable()
    gc.unfreeze()
    stamina.instrumentation.set_on_retry_hooks(hooks)


@pytest.fixture(scope="package")
def simulated():
    """Run the schedules as `make simulate` does, in processes that need not free their memory."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS)]
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"}
    return subprocess.run(command, cwd=ROOT, env=user_environment() | path, capture_output=True, text=True, check=False)
