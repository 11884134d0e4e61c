"""An issuer of tokens, and a clock that a test sets."""

import pytest

from tests.issuer import LocalIssuer


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """Give a clock that the test sets."""
    return Clock()


@pytest.fixture
def issuer():
    """Give an issuer that answers."""
    local = LocalIssuer()
    yield local
    local.stop()
