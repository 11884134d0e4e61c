"""What the tests of applied checkouts share: the platform's API server, its bank and its operator."""

import pytest

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
