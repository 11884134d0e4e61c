"""What every test of the simulation needs: a quiet collector of garbage, and retries that do not log."""

import gc

import pytest
import stamina

from tests.simulation.run import prepare


@pytest.fixture(autouse=True, scope="package")
def quiet():
    """Set the process up for schedules, and back afterwards."""
    hooks = stamina.instrumentation.get_on_retry_hooks()
    prepare()
    yield
    gc.enable()
    gc.unfreeze()
    stamina.instrumentation.set_on_retry_hooks(hooks)
