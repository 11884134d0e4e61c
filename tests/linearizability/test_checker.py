"""The checker itself: what it takes for linearizable, and what not. `make linearizability` runs this, since it builds the checker."""

import pytest

from tests.linearizability.checker import check
from tests.linearizability.history import Operation


def cart(*asked):
    """Give the history of a cart: (kind, from, to, facts); None as `to`: there was no answer."""
    return [
        Operation("cart:1", client, kind, call, end, facts) for client, (kind, call, end, facts) in enumerate(asked)
    ]


def add(call, end, shown=None, quantity=1, product=2):
    """Add to the cart; `shown` is what the answer shows."""
    return "add", call, end, {"product": product, "quantity": quantity} | ({} if shown is None else {"cart": shown})


def read(call, end, shown):
    """Read the cart."""
    return "read", call, end, {"cart": shown}


def claim(call, end, shown):
    """Claim the cart for the checkout c."""
    return "claim", call, end, {"id": "c", "cart": shown}


def removal(call, end):
    """Take out what c has bought."""
    return "removal", call, end, {"id": "c"}


GOOD = {
    "one after the other": [add(1, 2, {"2": 1}), read(3, 4, {"2": 1})],
    "a read beside a write sees either": [add(1, 9, {"2": 1}), read(2, 3, {}), read(4, 5, {"2": 1})],
    "no answer, and done": [add(1, None), read(3, 4, {"2": 1})],
    "no answer, and not done": [add(1, None), read(3, 4, {})],
    "no answer, and done later": [add(1, None), read(3, 4, {}), read(5, 6, {"2": 1})],
    "what is bought leaves the cart": [
        add(1, 2),
        claim(3, 4, {"2": 1}),
        removal(4, 9),
        read(5, 6, {"2": 1}),
        read(10, 11, {}),
    ],
    "what is added meanwhile stays": [
        add(1, 2),
        claim(3, 4, {"2": 1}),
        add(5, 6, {"2": 3}, 2),
        removal(4, 9),
        read(10, 11, {"2": 2}),
    ],
    "a line that was made anew stays": [
        add(1, 2),
        claim(3, 4, {"2": 1}),
        ("clear", 5, 6, {"cart": {}}),
        add(7, 8, {"2": 1}),
        removal(9, 10),
        read(11, 12, {"2": 1}),
    ],
    "what is not there is refused": [("set", 1, 2, {"product": 2, "quantity": 1, "refused": "cart_item_not_found"})],
}
BAD = {
    "a write that is lost": [add(1, 2, {"2": 1}), read(3, 4, {})],
    "a write that is made twice": [add(1, 2), read(3, 4, {"2": 2})],
    "a write without an answer that is made twice": [add(1, None), read(3, 4, {"2": 2})],
    "a read that goes back": [add(1, 9, {"2": 1}), read(2, 3, {"2": 1}), read(4, 5, {})],
    "two writes of which one is lost": [add(1, 4, {"2": 1}), add(1, 4, {"3": 1}, product=3)],
    "what is bought stays": [add(1, 2), claim(3, 4, {"2": 1}), removal(4, 5), read(6, 7, {"2": 1})],
    "what is bought leaves twice": [
        add(1, 2, None, 2),
        claim(3, 4, {"2": 2}),
        add(5, 6, {"2": 4}, 2),
        removal(4, 9),
        read(10, 11, {}),
    ],
    "a claim of what is not there": [add(1, 2), claim(3, 4, {"2": 2})],
    "what is not there is set": [("set", 1, 2, {"product": 2, "quantity": 1, "cart": {"2": 1}})],
    "what is there is not found": [add(1, 2), ("remove", 3, 4, {"product": 2, "refused": "cart_item_not_found"})],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_of_a_cart_that_is_right(name):
    """Some order of the operations, each at one moment between its call and its answer, explains all answers."""
    assert check(cart(*GOOD[name])).good


@pytest.mark.parametrize("name", BAD)
def test_a_history_of_a_cart_that_is_wrong(name, tmp_path):
    """No order explains the answers; a page that shows it is drawn."""
    assert check(cart(*BAD[name]), tmp_path).not_linearizable == ("cart:1",)
    assert (tmp_path / "cart-1.html").exists()


def starts(*asked):
    """Give the history of a key: (from, to, facts)."""
    return [Operation("key:1/k", client, "start", call, end, facts) for client, (call, end, facts) in enumerate(asked)]


RUNS, ENDED = {"id": "c", "status": "PROCESSING"}, {"id": "c", "status": "COMPLETED", "body": "{}"}
REFUSED = {"refused": "cart_empty"}


@pytest.mark.parametrize(
    ("history", "good"),
    [
        ([(1, 2, REFUSED), (3, 4, RUNS), (5, 6, ENDED), (7, 8, ENDED)], True),
        ([(1, 9, ENDED), (2, 3, RUNS), (4, 5, REFUSED | {})], False),
        ([(1, 2, RUNS), (3, 4, ENDED | {"id": "d"})], False),
        ([(1, 2, ENDED), (3, 4, RUNS)], False),
        ([(1, 2, ENDED), (3, 4, ENDED | {"body": "{ }"})], False),
        ([(1, 2, ENDED), (3, 4, ENDED | {"status": "FAILED"})], False),
        ([(1, 2, ENDED), (3, 4, REFUSED)], False),
    ],
)
def test_a_history_of_a_key(history, good):
    """A key has one checkout, one end and one answer, and is refused only before."""
    assert check(starts(*history)).good is good
