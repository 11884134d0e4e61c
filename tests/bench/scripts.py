"""What the users of a load do: each is a script, which sends a request, looks at the answer, and goes on.

A script is a Python generator of steps, and is sent the Answer to each Send; a load generator's process runs many of them
at once. Each time it has reached its aim it says so with a Good.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

from tests.bench.wire import Answer, request

OK = 200
PRODUCTS = 5
NOTHING = Answer(0, b"")
"""What stands for an answer that has not come: the connection was lost, or it took too long."""


class Send(NamedTuple):
    """Send a request; its time is kept under the label."""

    label: str
    wire: bytes


class Pause(NamedTuple):
    """Wait so many seconds."""

    seconds: float


class Note(NamedTuple):
    """Keep a time that the script has taken itself, in seconds."""

    label: str
    seconds: float


class Good(NamedTuple):
    """The aim is reached once more: a page was read, a purchase completed."""


Script = Generator[Send | Pause | Note | Good, Answer, None]
Clock = Callable[[], float]


def repeat(label: str, wire: bytes, times: int) -> Script:
    """Send one request so many times."""
    send = Send(label, wire)
    for _ in range(times):
        if (yield send).status == OK:
            yield Good()


def buyer(user: int, purchases: int) -> Script:
    """Add something and check out, again and again without pause, each time as the next user.

    What is refused is not sent again.
    """
    for who in range(user, user + purchases):
        if (yield _add(who, who)).status == OK and _completed((yield _buy(who))):
            yield Good()


def shopper(user: int, rounds: int) -> Script:
    """Browse, look at a product, add two things, change one, look at the cart, buy, and look at the orders."""
    for who in range(user, user + rounds):
        yield Send("products", request("GET", "/api/v1/products", user=who))
        yield Send("product", request("GET", f"/api/v1/products/{who % PRODUCTS + 1}", user=who))
        yield _add(who, who)
        yield _add(who, who + 1)
        line = f"/api/v1/cart/items/{who % PRODUCTS + 1}"
        yield Send("change", request("PUT", line, user=who, body={"quantity": 3}))
        yield Send("cart", request("GET", "/api/v1/cart", user=who))
        if _completed((yield _buy(who))):
            yield Good()
        yield Send("orders", request("GET", "/api/v1/orders", user=who))


def filler(user: int, carts: int) -> Script:
    """Fill carts, and read each once so that the cache knows it."""
    for who in range(user, user + carts):
        if (yield _add(who, who)).status == OK:
            yield Good()
        yield Send("cart", request("GET", "/api/v1/cart", user=who))


def reader(user: int, carts: int, times: int) -> Script:
    """Read carts, one after the other."""
    sends = [Send("cart", request("GET", "/api/v1/cart", user=who)) for who in range(user, user + carts)]
    for number in range(times):
        if (yield sends[number % carts]).status == OK:
            yield Good()


def writer(user: int, times: int) -> Script:
    """Write to a cart so many times, fifty times each."""
    for number in range(times):
        if (yield _add(user + number // 50, number)).status == OK:
            yield Good()


def delivered(user: int, purchases: int, every: float, clock: Clock) -> Script:
    """Buy, then look at cart and orders every so many seconds until the cart is empty and the order there."""
    for who in range(user, user + purchases):
        yield _add(who, 1)
        if not _completed((yield _buy(who))):
            continue
        since = clock()
        missing = {"cart": b'"items":[]', "orders": b'"orders":[{'}
        while missing:
            for page, sign in list(missing.items()):
                if sign in (yield Send("look", request("GET", f"/api/v1/{page}", user=who))).body:
                    del missing[page]
                    yield Note(f"{page} seen", clock() - since)
            yield Pause(every)
        yield Note("visible", clock() - since)
        yield Good()


def _add(user: int, number: int) -> Send:
    body = {"product_id": number % PRODUCTS + 1, "quantity": 1}
    return Send("add", request("POST", "/api/v1/cart/items", user=user, body=body))


def _buy(user: int) -> Send:
    return Send("checkout", request("POST", "/api/v1/checkout", user=user, body={"idempotency_key": "bench"}))


def _completed(answer: Answer) -> bool:
    return answer.status == OK and b'"COMPLETED"' in answer.body
