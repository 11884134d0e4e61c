"""Starting checkouts: what is bought, replayed and refused, and that a refusal leaves the key usable."""

import pytest

from services.checkout.domain import (
    AnotherRunning,
    EmptyCart,
    MissingProduct,
    Status,
    Step,
    UnknownCheckout,
    UnknownProducts,
)
from tests.services.checkout.shop import SHORT


async def test_a_checkout_runs_to_its_end(buy, cart, user):
    """A start gives the checkout once it has ended, with what was in the cart at its price."""
    cart.add("l2", 2, 3)
    started = await buy()
    assert (started.session.status, started.replayed) == (Status.COMPLETED, False)
    assert [(line.line_id, line.unit_price_minor, line.quantity) for line in started.session.lines] == [
        ("l1", 100, 1),
        ("l2", 100, 3),
    ]
    assert started.session.total_minor == 400


@pytest.mark.parametrize("end", [Step.COMPLETED, Step.FAILED])
async def test_a_key_that_has_ended_is_replayed(buy, cart, saga, new_process, end):
    """The answer of a key is for ever: it comes again from any process, byte for byte, without a look at the cart."""
    saga.ends["k"] = end
    first = await buy()
    cart.add("l9")
    reads = cart.reads
    again = await buy(process=new_process())
    assert (again.replayed, again.session) == (True, first.session)
    assert (cart.reads, len(saga.driven)) == (reads, 1)


async def test_an_empty_cart_is_refused_and_stores_nothing(buy, cart, find):
    """An empty cart leaves the key usable: once something is in the cart the same key buys it."""
    cart.lines.clear()
    assert isinstance(await buy(), EmptyCart)
    assert await find("k") is None
    cart.add("l2")
    assert (await buy()).session.status is Status.COMPLETED


async def test_unknown_products_are_named_and_leave_the_key_usable(buy, cart, find):
    """A cart with things that are not sold any more is refused with all their names; without them the same key buys it."""
    cart.add("l2", 404)
    cart.add("l3", 405)
    refusal = await buy()
    assert isinstance(refusal, UnknownProducts)
    assert refusal.products == (MissingProduct(404, "Typewriter"), MissingProduct(405, None))
    assert str(refusal) == "not in the catalogue: Typewriter (product 404), product 405"
    assert await find("k") is None
    del cart.lines["l2"], cart.lines["l3"]
    assert (await buy()).session.status is Status.COMPLETED


async def test_a_purchase_is_replayed_though_its_product_is_gone(buy, cart):
    """What was bought before a product left the catalogue is replayed, though the cart could not be bought any more."""
    first = await buy()
    cart.add("l2", 404)
    again = await buy()
    assert (again.replayed, again.session) == (True, first.session)


async def test_a_line_of_9999_is_bought(buy, cart):
    """A cart line as large as one may be is claimed whole."""
    cart.add("l2", 2, 9999)
    session = (await buy()).session
    assert (session.status, session.lines[1].quantity, session.total_minor) == (Status.COMPLETED, 9999, 1_000_000)


async def test_another_running_checkout_is_named(buy, saga, find):
    """While a checkout of the cart runs, another key is refused with its id, and stores nothing."""
    saga.goes.clear()
    running = await buy("first", wait=SHORT)
    refusal = await buy("second")
    assert isinstance(refusal, AnotherRunning)
    assert refusal.checkout_id == running.session.id
    assert await find("second") is None
    saga.goes.set()


async def test_a_checkout_is_its_users_alone(buy, checkouts, user):
    """Another user's checkout is as unknown as one that does not exist."""
    mine = (await buy()).session
    there, theirs, none = await checkouts.get([(user, mine.id), (user + 10**9, mine.id), (user, "x")])
    assert there == mine
    assert isinstance(theirs, UnknownCheckout)
    assert isinstance(none, UnknownCheckout)
