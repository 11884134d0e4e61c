"""The stores of the tests of services serve here too."""

import pytest

from tests.services.conftest import Stores


@pytest.fixture(scope="session")
def stores(request):
    """The stores."""
    return Stores(request)
