"""The books that do not agree are noticed, each by the promise that is broken."""

import json
from collections import Counter

import pytest

from tests.torture import verify
from tests.torture.customers import Customer, Violated
from tests.torture.verify import Books, broken, check, unrest

USER, ID, ORDER = 7, "c1", "o1"
ANSWER = b'{"checkout_id": "c1", "status": "COMPLETED"}'


def good():
    """Return the books of one customer who has bought two pieces of product 1, and left one of product 3 in the cart."""
    snapshot = json.dumps([{"line_id": "l1", "product_id": 1, "quantity": 2}])
    session = {
        "id": ID,
        "user_id": USER,
        "origin": "rest",
        "idempotency_key": "only",
        "status": "COMPLETED",
        "step": "COMPLETED",
        "source": "cart",
        "snapshot": snapshot,
        "total_amount": 200,
        "order_id": ORDER,
        "response_body": ANSWER,
        "last_error": None,
    }
    return Books(
        sessions=[session],
        captured={ID: 200},
        orders={ID: [{"id": ORDER, "total_minor": 200}]},
        events={ID: [{"processed_at": "now", "dead_at": None}]},
        reservations={ID: "CONFIRMED"},
        carts={USER: {"lines": [{"line_id": "l3", "product_id": 3, "quantity": 1, "bought": []}]}},
    )


def customer():
    """Return that customer, as they remember it."""
    return Customer(USER, "buys", added=Counter({1: 2, 3: 1}), answer=ANSWER, checkout_id=ID)


def fail(books):
    """Make the checkout one that has failed."""
    books.sessions[0]["status"] = "FAILED"


WRONG = {
    "I1": [lambda books: books.captured.clear(), lambda books: books.captured.update(c2=5), fail],
    "I2": [lambda books: books.reservations.update(c1="HELD"), lambda books: books.reservations.clear()],
    "I3": [
        lambda books: books.orders[ID].append(books.orders[ID][0]),
        lambda books: books.orders[ID][0].update(total_minor=1),
        lambda books: books.events.clear(),
        fail,
    ],
    "I4": [
        lambda books: books.carts.clear(),
        lambda books: books.carts[USER]["lines"].append(
            {"line_id": "l1", "product_id": 1, "quantity": 2, "bought": [ID]}
        ),
    ],
    "I6": [
        lambda books: books.sessions.append(dict(books.sessions[0], id="c2")),
        lambda books: books.sessions[0].update(response_body=b"{}"),
    ],
    "I8": [lambda books: books.sessions.clear(), fail],
    "I10": [lambda books: books.events[ID][0].update(dead_at="now")],
}


def test_books_that_agree_are_accepted() -> None:
    """Nothing is broken, and nothing is under way, where all books agree."""
    assert unrest(good()) == ""
    assert broken(good(), [customer()]) == []


@pytest.mark.parametrize(("promise", "spoil"), [(name, spoil) for name, those in WRONG.items() for spoil in those])
def test_a_book_that_is_spoilt_is_noticed(promise, spoil) -> None:
    """Money without a checkout, stock held for ever, a second order, a lost piece, another answer: each breaks its promise."""
    books = good()
    spoil(books)
    assert any(promise in what for what in broken(books, [customer()]))


def test_what_is_under_way_is_waited_for() -> None:
    """A checkout that runs, an event that is not out, an order to come and a cart still full are no violations yet."""
    books = good()
    books.sessions[0]["status"] = "PROCESSING"
    assert "c1 is" in unrest(books)
    books = good()
    books.events[ID][0]["processed_at"] = None
    assert "not out" in unrest(books)
    books = good()
    books.orders.clear()
    assert "no order" in unrest(books)
    books = good()
    books.carts[USER]["lines"].append({"line_id": "l1", "product_id": 1, "quantity": 2, "bought": []})
    assert "still in the cart" in unrest(books)


class SlowMachine:
    """A platform whose broker serves only after ten minutes, and whose event is out one look later."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self.out = False
        monkeypatch.setattr(verify, "time", self)
        monkeypatch.setattr(verify, "read", self.read)
        monkeypatch.setattr(verify, "shown", self.shown)

    def monotonic(self):
        """Return the time."""
        return self.now

    async def served(self):
        """Wait for the broker."""
        self.now += 0 if self.out else 600

    async def read(self, *_):
        """Return the books as they are at this look."""
        books = good()
        if not self.out:
            books.events[ID][0]["processed_at"] = None
        self.out = True
        self.now += 1
        return books

    async def shown(self, *_):
        """Return that resources and caches show what is so."""
        return []


async def test_the_time_in_which_a_store_is_away_does_not_count(monkeypatch):
    """A purchase has its minute from when everything serves again, so that a slow start of a store is no violation."""
    one = customer()
    one.answer = b""
    await check(None, [one], SlowMachine(monkeypatch).served)


async def test_a_purchase_that_never_ends_is_a_violation(monkeypatch):
    """Books that are not at rest a minute after everything serves break the promise of progress."""
    machine = SlowMachine(monkeypatch)
    monkeypatch.setattr(verify, "unrest", lambda _: "its event is not out")
    monkeypatch.setattr(verify, "REST_SECONDS", 0.5)
    with pytest.raises(Violated, match="I10"):
        await check(None, [customer()], machine.served)
