"""The platform's API server."""

import pytest

from tests.kube import Kube


@pytest.fixture(scope="session")
def kube(platform):
    """Checkouts of the platform's API server."""
    return Kube(platform.stack.home)
