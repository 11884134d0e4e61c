"""The auditor's rounds, over books in memory."""

from datetime import UTC, datetime, timedelta

import pytest
import structlog
from structlog.testing import capture_logs

from services.auditor.auditor import Auditor, Settings
from services.auditor.books import Book, CachedCart, Cart, CartLine, Checkout, Event, Order, Payment, Reservation, Stock
from services.auditor.differences import Kind
from services.auditor.ports import Books, Mark, Rows
from services.auditor.reading import CannotRead
from services.auditor.reporting import Report
from services.chassis.telemetry import Metrics

START = datetime(2026, 11, 26, 12, tzinfo=UTC)
AFTER = 30


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


class MemoryShop:
    """The books of the database, kept in memory."""

    def __init__(self, clock):
        self.clock, self.bought, self.changed_at, self.orders = clock, {}, {}, {}
        self.stock_rows, self.asked, self.events = [], [], {}
        self.stock_asked, self.stock_seconds = 0, 0.0
        self.away = False
        self.unreadable = None

    def buy(self, checkout_id, user_id=7):
        """Complete a checkout now, in every book."""
        self.changed_at[checkout_id] = at = START + timedelta(seconds=self.clock())
        self.bought[checkout_id] = Checkout(
            checkout_id, user_id, "items", "COMPLETED", 5, 100, "USD", f"o-{checkout_id}", (), at
        )
        self.orders[checkout_id] = Order(f"o-{checkout_id}", checkout_id, user_id, 100, "USD", (), at)

    def announce(self, checkout_id):
        """Put the event of a checkout into the outbox, published now."""
        of = self.bought[checkout_id]
        at = START + timedelta(seconds=self.clock())
        self.events[checkout_id] = Event(
            f"e-{checkout_id}", checkout_id, of.user_id, of.order_id, of.total_minor, at, at, None
        )

    async def now(self):
        """Return the time."""
        if self.away:
            raise CannotRead(Book.CHECKOUTS, "away")
        return START + timedelta(seconds=self.clock())

    async def changed(self, mark, until, most):
        """Return what changed."""
        found = sorted((at, one) for one, at in self.changed_at.items() if (mark.at, mark.checkout_id) < (at, one))
        ids = [(at, one) for at, one in found if at <= until][:most]
        return [one for _, one in ids], Mark(*ids[-1]) if len(ids) == most else Mark(until)

    async def page(self, book, after, most):
        """Return a page of a book; checkouts and orders are the only ones with rows that others lack."""
        keys = self.orders if book is Book.ORDERS else self.bought
        return sorted(one for one in keys if one > after)[:most]

    async def announced(self, after, most):
        """Return a page of the outbox, in the order in which its events were made."""
        return list(enumerate(self.events.values(), 1))[after : after + most]

    async def without_checkout(self, ids):
        """Return those without a checkout."""
        return [one for one in ids if one not in self.bought]

    async def checkouts(self, ids):
        """Return checkouts."""
        return {one: self.bought[one] for one in ids if one in self.bought}

    async def rows(self, ids):
        """Return the rows."""
        self.asked.append(list(ids))
        if self.unreadable is not None:
            raise CannotRead(self.unreadable, "permission denied")
        checkouts = await self.checkouts(ids)
        payments = {one: Payment(one, of.user_id, 100, "USD", "CAPTURED", of.ended_at) for one, of in checkouts.items()}
        held = {one: Reservation(one, "CONFIRMED", (), of.ended_at) for one, of in checkouts.items()}
        orders = {one: self.orders[one] for one in ids if one in self.orders}
        return Rows(checkouts, payments, held, orders, {one: [self.events[one]] for one in ids if one in self.events})

    async def stock(self):
        """Return the stock, for which it needs `stock_seconds`."""
        self.stock_asked += 1
        self.clock.seconds += self.stock_seconds
        return self.stock_rows


class MemoryBank:
    """The bank's ledger; `without` are keys that it does not have."""

    def __init__(self, shop):
        self.shop, self.without, self.away = shop, set(), False

    async def transactions(self, keys, now):
        """Return the transactions."""
        if self.away:
            raise CannotRead(Book.BANK, "away")
        rows = await self.shop.rows(keys)
        return {one: row for one, row in rows.payments.items() if one not in self.without}

    async def page(self, after, most):
        """Return a page of keys."""
        return await self.shop.page(Book.CHECKOUTS, after, most)


class MemoryCarts:
    """Documents of carts, and their cached copies."""

    def __init__(self):
        self.documents, self.copies = {}, {}

    async def carts(self, user_ids):
        """Return documents."""
        return {one: self.documents[one] for one in user_ids if one in self.documents}

    async def some(self, most):
        """Return all copies."""
        return list(self.copies.values()), True

    async def of(self, user_ids):
        """Return copies."""
        return [self.copies[one] for one in user_ids if one in self.copies]


class MemoryTopic:
    """The topic of events; `without` are events that it does not have. It can be found, and read where it is not `unreadable`."""

    def __init__(self):
        self.looks, self.without, self.unreadable = [], set(), False

    async def missing(self, sent):
        """Return what it does not have."""
        self.looks.append(sent)
        if self.unreadable:
            raise CannotRead(Book.TOPIC, "TimeoutError")
        return frozenset(one.event_id for one in sent if one.event_id in self.without)

    async def probe(self):
        """Answer."""


class Room:
    """An auditor with its books."""

    def __init__(self, topic=None, share=1.0):
        self.clock = Clock()
        self.shop, self.carts = MemoryShop(self.clock), MemoryCarts()
        self.bank = MemoryBank(self.shop)
        self.metrics = Metrics()
        log = structlog.get_logger()
        self.report = Report(log, self.metrics, command="make story CHECKOUT={checkout_id}")
        # Events are the one book that these rows do not have; the tests are about others.
        books = Books(self.shop, self.bank, self.carts, self.carts, topic)
        settings = Settings(after=AFTER, full_every=3600, share=share, page=2)
        self.auditor = Auditor(books, settings, self.report, self.clock)

    async def round(self, seconds=0.0):
        """Let time pass, make a round, and give the kinds of differences that count, but for the events that are not kept."""
        self.clock.seconds += seconds
        with capture_logs() as self.logged:
            self.soon = await self.auditor.run_once()
        counting = self.auditor.differences.counting(self.auditor.now)
        return {one.kind for one in counting if "event" not in one.what}


@pytest.fixture(name="room")
def room_fixture():
    """An auditor with its books."""
    return Room()


async def test_a_purchase_is_compared_once_it_is_old_enough(room):
    """What changes is compared when it is older than the bound, whatever many there are, and not before."""
    await room.round()
    for number in range(5):
        room.shop.buy(f"c-{number}")
    room.shop.asked.clear()
    await room.round(AFTER - 1)
    assert room.shop.asked == []
    await room.round(2)
    asked = {one for ids in room.shop.asked for one in ids}
    assert asked == {f"c-{number}" for number in range(5)}
    assert max(map(len, room.shop.asked)) == 2  # a page


async def test_a_difference_counts_with_the_second_look_and_is_told_once(room):
    """One look asks for another soon; the second makes it certain: a metric, and one line with the ids and the command."""
    await room.round()
    room.shop.buy("c-1")
    del room.shop.orders["c-1"]
    assert (await room.round(AFTER + 1), room.soon) == (set(), 1)
    assert await room.round(2) == {Kind.ORDERS}
    (told,) = [one for one in room.logged if one["event"] == "the books differ" and one["kind"] == "orders"]
    wanted = {"checkout_id": "c-1", "command": "make story CHECKOUT=c-1", "user_id": "7", "log_level": "error"}
    assert wanted.items() <= told.items()
    assert 'cartwright_audit_differences{kind="orders"} 1.0' in room.metrics.page().decode()
    await room.round(2)
    assert [one for one in room.logged if one["event"] == "the books differ"] == []
    room.shop.buy("c-1")
    assert await room.round(2) == set()
    assert [one["event"] for one in room.logged if one.get("kind") == "orders"] == ["the books agree again"]
    assert 'cartwright_audit_differences{kind="orders"} 0.0' in room.metrics.page().decode()


async def test_what_nothing_announces_is_found_by_the_pass_over_whole_books(room):
    """An order that was made up, of long ago, changes no checkout. The pass over whole books finds it."""
    for number in range(5):
        room.shop.buy(f"c-{number}")
    at = START - timedelta(days=1)
    room.shop.orders["made-up"] = Order("o", "made-up", 7, 100, "USD", (), at)
    await room.round(AFTER + 1)
    assert await room.round(2) == {Kind.ORDERS}
    assert room.auditor.differences.subjects(Kind.ORDERS) == ["made-up"]


async def test_a_book_that_cannot_be_read_changes_nothing_that_is_known(room):
    """While the bank is away its differences stay, those of others are found, and the log says once which book is missing."""
    await room.round()
    room.shop.buy("c-1")
    room.bank.without.add("c-1")
    await room.round(AFTER + 1)
    assert await room.round(2) == {Kind.MONEY}
    room.bank.away = True
    del room.shop.orders["c-1"]
    await room.round(2)
    (missed,) = [one for one in room.logged if one["event"] == "a book cannot be read"]
    assert (missed["book"], missed["error"]) == ("bank", "away")
    assert await room.round(2) == {Kind.MONEY, Kind.ORDERS}
    assert [one for one in room.logged if one["event"] == "a book cannot be read"] == []
    assert 'cartwright_audit_book_compared{book="bank"} 0.0' in room.metrics.page().decode()
    room.bank.away = False
    room.bank.without.clear()
    assert await room.round(2) == {Kind.ORDERS}
    assert "a book is read again" in [one["event"] for one in room.logged]


async def test_a_table_that_cannot_be_read_is_said_once(room):
    """While one table of the database refuses the auditor the log says so once, and says that it is read again once it is."""
    await room.round()
    room.shop.buy("c-1")
    room.shop.unreadable = Book.CHECKOUTS
    await room.round(AFTER + 1)
    assert [one["book"] for one in room.logged if one["event"] == "a book cannot be read"] == ["checkouts"]
    for _ in range(3):
        await room.round(2)
        assert [one["event"] for one in room.logged if "book" in one] == []
    assert 'cartwright_audit_book_compared{book="checkouts"} 0.0' in room.metrics.page().decode()
    room.shop.unreadable = None
    await room.round(2)
    assert [one["book"] for one in room.logged if one["event"] == "a book is read again"] == ["checkouts"]


async def test_a_database_that_is_away_ends_no_loop(room):
    """Without the database nothing is compared; when it is back the auditor goes on where it was."""
    await room.round()
    room.shop.buy("c-1")
    del room.shop.orders["c-1"]
    room.shop.away = True
    assert await room.round(AFTER + 1) == set()
    room.shop.away = False
    await room.round(2)
    assert await room.round(2) == {Kind.ORDERS}


async def test_stock_is_compared_with_what_it_was_at_first(room):
    """What was received may grow by deliveries alone."""
    row = Stock(1, received=100, available=100, reserved=0, sold=0, lines_held=0, lines_sold=0, delivered=10)
    room.shop.stock_rows = [row]
    await room.round()
    room.shop.stock_rows = [Stock(1, 105, 105, 0, 0, 0, 0, 15)]
    await room.round(10)
    assert await room.round(2) == set()
    room.shop.stock_rows = [Stock(1, 106, 106, 0, 0, 0, 0, 15)]
    await room.round(10)
    assert await room.round(2) == {Kind.STOCK}


async def test_a_cached_cart_counts_while_it_is_there(room):
    """A copy that is behind its document counts after two looks; one that is gone by then never does."""
    await room.round()
    room.carts.documents[7] = Cart(7, 5, (CartLine("a", 1, 1),))
    room.carts.copies[7] = CachedCart(Cart(7, 4), is_trusted=True)
    await room.auditor.look_at_cache()
    room.clock.seconds += 5
    await room.auditor.look_at_cache()
    assert [one.kind for one in room.auditor.differences.counting(room.auditor.now)] == [Kind.CACHE]
    room.carts.copies.clear()
    await room.auditor.look_at_cache()
    assert room.auditor.differences.counting(room.auditor.now) == []


async def test_one_whole_audit_is_certain_of_what_it_tells(room):
    """`once` goes through every book, and looks twice at what differs."""
    for number in range(5):
        room.shop.buy(f"c-{number}")
    del room.shop.orders["c-3"]
    room.clock.seconds += AFTER + 1
    await room.auditor.run_whole(pause=0)
    counting = room.auditor.differences.counting(room.auditor.now)
    assert [one.subject for one in counting if one.kind is Kind.ORDERS] == ["c-3"]
    assert room.report.comparisons[Kind.MONEY] >= 5


def published(room, count):
    """Buy and publish so many, an hour apart; a checkout's id says nothing of its time."""
    for number in range(count):
        checkout_id = f"c-{7 * number % count}"
        room.shop.buy(checkout_id)
        room.shop.announce(checkout_id)
        room.clock.seconds += 3600


async def test_a_whole_pass_reads_each_part_of_the_topic_once():
    """The pass looks for each event once, in the order in which they were made: a page of it is a short time of the topic."""
    topic = MemoryTopic()
    room = Room(topic)
    published(room, 10)
    await room.auditor.run_whole(pause=0)
    looked = [one.event_id for look in topic.looks for one in look]
    assert looked == [f"e-{one}" for one in room.shop.events]
    assert max(map(len, topic.looks)) == 2  # a page


async def test_an_event_that_the_topic_does_not_have_counts_until_it_has_it():
    """Where the topic lacks an event the outbox differs; once the topic has it they agree again."""
    topic = MemoryTopic()
    room = Room(topic)
    published(room, 10)
    topic.without = {"e-c-3", "e-c-4"}
    await room.auditor.run_whole(pause=0)
    counting = room.auditor.differences.counting(room.auditor.now)
    assert {one.ids["event_id"] for one in counting} == topic.without
    topic.without = {"e-c-3"}
    await room.round(2)
    assert [one.ids["event_id"] for one in room.auditor.differences.counting(room.auditor.now)] == ["e-c-3"]


async def test_a_topic_in_which_no_look_succeeds_is_not_read():
    """A topic that answers, and in which no event can be looked for, is not read. The log says so once, until a look succeeds."""
    topic = MemoryTopic()
    room = Room(topic)
    await room.round()
    topic.unreadable = True
    said = []
    for _ in range(5):
        room.shop.buy("c-1")
        room.shop.announce("c-1")
        await room.round(AFTER + 31)
        said += [one["event"] for one in room.logged if one.get("book") == "topic"]
    assert said == ["a book cannot be read"]
    assert 'cartwright_audit_book_compared{book="topic"} 0.0' in room.metrics.page().decode()
    topic.unreadable = False
    room.shop.buy("c-2")
    room.shop.announce("c-2")
    await room.round(AFTER + 31)
    assert [one["event"] for one in room.logged if one.get("book") == "topic"] == ["a book is read again"]
    assert 'cartwright_audit_book_compared{book="topic"} 1.0' in room.metrics.page().decode()


async def test_a_difference_that_counts_does_not_end_the_share_of_the_time():
    """What one look found of the stock is looked at again at once. What counts is looked at as often as all stock is."""
    room = Room(share=0.1)
    room.shop.stock_rows, room.shop.stock_seconds = [Stock(1, 100, 99, 0, 0, 0, 0, 0)], 1.0
    await room.round()
    assert await room.round(2) == {Kind.STOCK}
    assert room.shop.stock_asked == 2
    for _ in range(4):
        await room.round(2)
    assert room.shop.stock_asked == 2
    await room.round(2)
    assert room.shop.stock_asked == 3
