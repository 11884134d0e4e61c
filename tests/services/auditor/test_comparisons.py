"""The comparisons: books that agree have no difference, and each single change of any book is one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auditor.books import (
    Book,
    Cart,
    CartLine,
    Checkout,
    Dossier,
    Event,
    Line,
    Order,
    Payment,
    Reservation,
    Stock,
    Transaction,
)
from services.auditor.comparisons import compare, compare_stock
from services.auditor.differences import Kind

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ENDED = NOW - timedelta(minutes=5)
ID, ORDER = "1a8f9499-04b9-45f5-8d0e-15fd9a60d51b", "f09e89bd-5501-45e9-9293-50d1ef22344e"
LINES = (Line(1, 2, 129999, "a"), Line(3, 1, 8999, "b"))
TOTAL = 2 * 129999 + 8999
CHECKOUT = Checkout(ID, 7, "cart", "COMPLETED", 5, TOTAL, "USD", ORDER, LINES, ENDED, 4, 5)
BOOKS = frozenset(Book)
AGREEING = Dossier(
    ID,
    BOOKS,
    CHECKOUT,
    Payment(ID, 7, TOTAL, "USD", "CAPTURED", ENDED),
    Transaction(ID, 7, TOTAL, "USD", "CAPTURED", ENDED),
    Reservation(ID, "CONFIRMED", ((1, 2), (3, 1)), ENDED),
    Order(ORDER, ID, 7, TOTAL, "USD", tuple(replace(line, line_id="") for line in LINES), ENDED),
    (Event("event-1", ID, 7, ORDER, TOTAL, ENDED, ENDED, None),),
    Cart(7, 5, (CartLine("c", 1, 4),)),
)
FAILED = replace(
    AGREEING,
    checkout=replace(CHECKOUT, status="FAILED"),
    payment=replace(AGREEING.payment, state="DECLINED"),
    transaction=replace(AGREEING.transaction, state="DECLINED"),
    reservation=replace(AGREEING.reservation, state="RELEASED"),
    order=None,
    events=(),
)


def changed(found, **of):
    """Give a dossier with fields of one of its rows changed: `payment={"state": …}`, or a row that is not there."""
    return replace(
        found,
        **{name: replace(getattr(found, name), **row) if isinstance(row, dict) else row for name, row in of.items()},
    )


def kinds(found):
    """Give the kinds of the differences in a dossier."""
    return {one.kind for one in compare(found, NOW)}


def test_books_that_agree_have_no_difference():
    """A purchase that is in every book, one that failed, and one that is under way are no differences."""
    assert list(compare(AGREEING, NOW)) == []
    assert list(compare(FAILED, NOW)) == []
    tombstones = changed(FAILED, payment={"state": "CANCELLED"}, transaction=None, reservation={"state": "EXPIRED"})
    assert list(compare(tombstones, NOW)) == []
    assert list(compare(changed(FAILED, payment=None, transaction=None, reservation=None), NOW)) == []
    assert list(compare(Dossier(ID, BOOKS), NOW)) == []


@given(
    st.sampled_from(["INTENT", "CAPTURED", "DECLINED", None]),
    st.sampled_from(["HELD", "PINNED", "CONFIRMED", "RELEASED", None]),
)
def test_what_is_under_way_is_no_difference(payment, reservation):
    """While a checkout runs its payment and its stock may be in any state; the bank has what the payment says."""
    running = replace(CHECKOUT, status="PROCESSING", ended_at=None)
    found = replace(
        AGREEING,
        checkout=running,
        payment=replace(AGREEING.payment, state=payment) if payment else None,
        transaction=replace(AGREEING.transaction, state=payment) if payment and payment != "INTENT" else None,
        reservation=replace(AGREEING.reservation, state=reservation) if reservation else None,
        order=None,
        events=(),
    )
    assert list(compare(found, NOW)) == []


CHANGES = [
    (AGREEING, {"checkout": {"total_minor": 1}}, {Kind.MONEY, Kind.ORDERS, Kind.OUTBOX}),
    (AGREEING, {"checkout": {"user_id": 8}}, {Kind.MONEY, Kind.ORDERS, Kind.OUTBOX}),
    (AGREEING, {"checkout": {"order_id": "x"}}, {Kind.ORDERS, Kind.OUTBOX}),
    (AGREEING, {"checkout": {"lines": LINES[:1]}}, {Kind.ORDERS, Kind.RESERVATIONS}),
    (AGREEING, {"checkout": {"status": "FAILED"}}, {Kind.MONEY, Kind.ORDERS, Kind.RESERVATIONS, Kind.OUTBOX}),
    (AGREEING, {"checkout": None}, {Kind.MONEY, Kind.ORDERS, Kind.RESERVATIONS, Kind.OUTBOX}),
    (AGREEING, {"checkout": {"cleared_version": 6}}, {Kind.CARTS}),
    (AGREEING, {"payment": None}, {Kind.MONEY}),
    (AGREEING, {"payment": {"state": "INTENT"}}, {Kind.MONEY}),
    (AGREEING, {"payment": {"amount_minor": TOTAL + 1}}, {Kind.MONEY}),
    (AGREEING, {"payment": {"currency": "EUR"}}, {Kind.MONEY}),
    (AGREEING, {"transaction": None}, {Kind.MONEY}),
    (AGREEING, {"transaction": {"state": "CANCELLED"}}, {Kind.MONEY}),
    (AGREEING, {"transaction": {"amount_minor": 1}}, {Kind.MONEY}),
    (AGREEING, {"transaction": {"user_id": 8}}, {Kind.MONEY}),
    (AGREEING, {"reservation": None}, {Kind.RESERVATIONS}),
    (AGREEING, {"reservation": {"state": "PINNED"}}, {Kind.RESERVATIONS}),
    (AGREEING, {"reservation": {"state": "EXPIRED"}}, {Kind.RESERVATIONS}),
    (AGREEING, {"reservation": {"lines": ((1, 2), (3, 2))}}, {Kind.RESERVATIONS}),
    (AGREEING, {"order": None}, {Kind.ORDERS}),
    (AGREEING, {"order": {"id": "x"}}, {Kind.ORDERS}),
    (AGREEING, {"order": {"total_minor": 1}}, {Kind.ORDERS}),
    (AGREEING, {"order": {"lines": ()}}, {Kind.ORDERS}),
    (AGREEING, {"events": ()}, {Kind.OUTBOX}),
    (AGREEING, {"events": AGREEING.events * 2}, {Kind.OUTBOX}),
    (AGREEING, {"events": (replace(AGREEING.events[0], total_minor=1),)}, {Kind.OUTBOX}),
    (AGREEING, {"events": (replace(AGREEING.events[0], sent_at=None),)}, {Kind.OUTBOX}),
    (AGREEING, {"events": (replace(AGREEING.events[0], sent_at=None, dead_at=ENDED),)}, {Kind.OUTBOX}),
    (AGREEING, {"missing_events": frozenset({"event-1"})}, {Kind.OUTBOX}),
    (AGREEING, {"cart": {"lines": (CartLine("a", 1, 2),)}}, {Kind.CARTS}),
    (AGREEING, {"cart": {"version": 3}}, {Kind.CARTS}),
    (AGREEING, {"cart": None}, {Kind.CARTS}),
    (FAILED, {"payment": {"state": "CAPTURED"}}, {Kind.MONEY}),
    (FAILED, {"transaction": {"state": "CAPTURED"}}, {Kind.MONEY}),
    (FAILED, {"reservation": {"state": "HELD"}}, {Kind.RESERVATIONS}),
    (FAILED, {"reservation": {"state": "CONFIRMED"}}, {Kind.RESERVATIONS}),
    (FAILED, {"order": AGREEING.order}, {Kind.ORDERS}),
    (FAILED, {"events": AGREEING.events}, {Kind.OUTBOX}),
]


@pytest.mark.parametrize(
    ("found", "change", "wanted"), CHANGES, ids=lambda one: str(one)[:60] if isinstance(one, dict) else ""
)
def test_each_change_of_a_book_is_a_difference(found, change, wanted):
    """Whatever row of whatever book is changed, lost or made up, the books differ, and the difference names the checkout."""
    differences = list(compare(changed(found, **change), NOW))
    assert {one.kind for one in differences} == wanted
    assert {one.ids["checkout_id"] for one in differences} == {ID}
    assert all(one.since == ENDED for one in differences)
    assert len({one.key for one in differences}) == len(differences)


def test_money_that_only_one_of_payment_and_bank_has_is_a_difference_while_the_checkout_runs():
    """The bank captures first. A payment that is captured without it, or refused against it, is never merely under way."""
    running = replace(AGREEING, checkout=replace(CHECKOUT, status="PROCESSING", ended_at=None), order=None, events=())
    assert kinds(changed(running, transaction=None)) == {Kind.MONEY}
    assert kinds(changed(running, payment={"state": "DECLINED"})) == {Kind.MONEY}


def test_what_waits_in_the_outbox_is_no_other_difference():
    """While an event waits, its order and its cart are late for that reason, which is told once."""
    waits = (replace(AGREEING.events[0], sent_at=None),)
    found = changed(AGREEING, events=waits, order=None, cart={"lines": (CartLine("a", 1, 2),)})
    assert [one.kind for one in compare(found, NOW)] == [Kind.OUTBOX]


def test_what_was_taken_out_of_the_cart_may_be_there_again():
    """The rest of a line that was bought in part, and a new line of the same product, are no differences."""
    rest = CartLine("a", 1, 5, (ID,))
    assert kinds(changed(AGREEING, cart={"lines": (rest, CartLine("z", 3, 1))})) == set()


def test_a_book_that_was_not_read_is_not_compared():
    """Without the bank, the carts or the topic nothing is said of them, and the others are compared all the same."""
    without = replace(AGREEING, read=frozenset(), transaction=None, cart=None)
    assert kinds(without) == set()
    assert kinds(changed(without, payment=None)) == {Kind.MONEY}


def test_a_published_event_that_was_swept_is_no_difference():
    """The outbox forgets published events after a week."""
    old = NOW - timedelta(days=8)
    assert kinds(changed(AGREEING, checkout={"ended_at": old}, events=())) == set()


STOCK = Stock(3, 100, 80, 5, 15, 5, 15, 20)


@pytest.mark.parametrize(
    "change",
    [
        {"reserved": 6, "available": 79},
        {"sold": 16, "available": 79},
        {"available": 79},
        {"lines_sold": 14},
        {"lines_held": 0},
        {"received": 101, "available": 81},
        {"delivered": 19},
    ],
)
def test_stock_is_conserved(change):
    """Held and sold stock are those of the reservations, all is what was received, and only deliveries add to that."""
    assert list(compare_stock(STOCK, 80, NOW)) == []
    [first, *_] = compare_stock(replace(STOCK, **change), 80, NOW)
    assert (first.kind, first.ids) == (Kind.STOCK, {"product_id": "3"})
