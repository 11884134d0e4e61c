"""The use case as one process has it, and as another has."""

import pytest

from services.checkout.domain import Origin
from services.checkout.usecases import CartRequest
from tests.services.checkout.shop import WAIT, MemoryCart, Saga, make_checkouts


@pytest.fixture
def cart():
    """A cart with one thing in it."""
    cart = MemoryCart()
    cart.add("l1")
    return cart


@pytest.fixture
async def saga(sessions, bring):
    """What drives the sagas here."""
    return Saga(sessions, bring)


@pytest.fixture
def stopped():
    """What sagas were stopped by."""
    return []


@pytest.fixture
def new_process(sessions, cart, saga, stopped):
    """Give the use case as another process has it."""
    return lambda: make_checkouts(
        sessions, cart, saga.advance, notify=lambda session, fault: stopped.append((session.id, fault))
    )


@pytest.fixture
def checkouts(new_process):
    """The use case."""
    return new_process()


@pytest.fixture
def find(sessions, user):
    """Give the checkout of a key of the user's."""
    return lambda key: sessions.find(user, Origin.REST, key)


@pytest.fixture
def buy(checkouts, user):
    """Start a checkout of the user's."""

    async def buy(key="k", wait=WAIT, process=checkouts):
        return (await process.start([CartRequest(user, key, wait)]))[0]

    return buy
