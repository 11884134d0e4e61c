"""Holds the books of one checkout or product against each other. Pure: rows in, differences out.

What is under way is no difference: a rule is about a checkout that has ended, or about a row that no checkout explains. The
promises are those of docs/proof.md.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from services.auditor.books import Book, Cart, Dossier, Line, Payment, Stock, Transaction
from services.auditor.differences import Difference, Kind

EVENTS_KEPT = timedelta(days=6)
"""For how long a checkout must have its row in the outbox, whose sweep deletes published ones after 7 days."""


def compare(found: Dossier, now: datetime) -> Iterator[Difference]:
    """Yield the differences between the books of one checkout."""
    yield from _money(found)
    yield from _orders(found)
    yield from _reservations(found)
    yield from _outbox(found, now)
    yield from _cart(found)


def _difference(  # noqa: PLR0917 - the facts of a difference, in the order in which a sentence has them
    found: Dossier, kind: Kind, what: str, since: datetime, books: tuple[Book, Book], detail: str = "", **ids: str
) -> Difference:
    checkout = found.checkout
    named = {"checkout_id": found.checkout_id, **({"user_id": str(checkout.user_id)} if checkout else {}), **ids}
    return Difference(kind, found.checkout_id, what, since, frozenset(books), detail, named)


def _money(found: Dossier) -> Iterator[Difference]:
    checkout = found.checkout
    records: list[tuple[Book, str, Payment | Transaction | None]] = [(Book.PAYMENTS, "payment", found.payment)]
    if Book.BANK in found.read:
        records.append((Book.BANK, "bank", found.transaction))
    for book, name, record in records:
        books = (Book.CHECKOUTS, book)
        state = record.state if record else "nothing"
        if checkout is not None and checkout.ended_at is not None:
            if checkout.is_completed and state != "CAPTURED":
                text = f"the checkout is completed, and its money is not captured ({name})"
                yield _difference(found, Kind.MONEY, text, checkout.ended_at, books, f"{name}: {state}")
            elif checkout.is_completed and record is not None:
                has = (record.user_id, record.amount_minor, record.currency)
                wants = (checkout.user_id, checkout.total_minor, checkout.currency)
                if has != wants:
                    text = f"the money captured is not that of the checkout ({name})"
                    detail = f"{name}: {_price(*has)}; checkout: {_price(*wants)}"
                    yield _difference(found, Kind.MONEY, text, checkout.ended_at, books, detail)
            elif state == "CAPTURED" and record is not None:
                text = f"the checkout has failed, and its money is captured ({name})"
                yield _difference(found, Kind.MONEY, text, max(checkout.ended_at, record.at), books)
        elif checkout is None and record is not None and state in {"CAPTURED", "INTENT"}:
            text = f"money of no checkout ({name})"
            detail = f"{name}: {state}, {_price(record.user_id, record.amount_minor, record.currency)}"
            yield _difference(found, Kind.MONEY, text, record.at, books, detail)
    if checkout is None or checkout.is_running:
        yield from _payment_and_bank(found)


def _payment_and_bank(found: Dossier) -> Iterator[Difference]:
    """Where a checkout has ended both are held against it; until then against each other."""
    payment, transaction = found.payment, found.transaction
    if Book.BANK not in found.read or payment is None or payment.state == "INTENT":
        return
    state = transaction.state if transaction else "nothing"
    if (payment.state == "CAPTURED") != (state == "CAPTURED"):
        since = max(payment.at, transaction.at) if transaction else payment.at
        detail = f"payment: {payment.state}; bank: {state}"
        text = "the payment and the bank do not agree on whether money is captured"
        yield _difference(found, Kind.MONEY, text, since, (Book.PAYMENTS, Book.BANK), detail)


def _price(user_id: int, amount_minor: int, currency: str) -> str:
    return f"{amount_minor} {currency} (minor units) of user {user_id}"


def _orders(found: Dossier) -> Iterator[Difference]:
    checkout, order = found.checkout, found.order
    books = (Book.CHECKOUTS, Book.ORDERS)
    if checkout is None or checkout.ended_at is None or not checkout.is_completed:
        if order is not None:
            state = checkout.status if checkout else "nothing"
            text = "there is an order of a checkout that is not completed"
            yield _difference(
                found,
                Kind.ORDERS,
                text,
                order.at,
                books,
                f"checkout: {state}",
                order_id=order.id,
                user_id=str(order.user_id),
            )
        return
    if order is None:
        if (since := _told_at(found, checkout.ended_at)) is not None:
            text = "the checkout is completed, and there is no order"
            yield _difference(found, Kind.ORDERS, text, since, books, order_id=checkout.order_id)
        return
    has = (order.id, order.user_id, order.total_minor, order.currency, _bought(order.lines))
    wants = (checkout.order_id, checkout.user_id, checkout.total_minor, checkout.currency, _bought(checkout.lines))
    if has != wants:
        detail = f"order: {_shown(has)}; checkout: {_shown(wants)}"
        text = "the order is not what was bought"
        yield _difference(found, Kind.ORDERS, text, checkout.ended_at, books, detail, order_id=order.id)


def _told_at(found: Dossier, ended_at: datetime) -> datetime | None:
    """Return when the consumers were told of a purchase; None where its event still waits, which is the outbox's difference."""
    sent = [event.sent_at for event in found.events]
    if any(at is None for at in sent):
        return None
    return max((at for at in sent if at is not None), default=ended_at)


def _bought(lines: Iterable[Line]) -> tuple[tuple[int, int, int], ...]:
    return tuple(sorted((line.product_id, line.quantity, line.unit_price_minor) for line in lines))


def _shown(values: tuple[object, ...]) -> str:
    return ", ".join(str(value) for value in values)


def _reservations(found: Dossier) -> Iterator[Difference]:
    checkout, reservation = found.checkout, found.reservation
    books = (Book.CHECKOUTS, Book.RESERVATIONS)
    state = reservation.state if reservation else "nothing"
    if checkout is None:
        if reservation is not None and (reservation.holds or state == "CONFIRMED"):
            text = "stock is held or sold for no checkout"
            yield _difference(found, Kind.RESERVATIONS, text, reservation.at, books, f"reservation: {state}")
    elif checkout.ended_at is None:
        return
    elif checkout.is_completed and state != "CONFIRMED":
        text = "the checkout is completed, and its stock is not sold"
        yield _difference(found, Kind.RESERVATIONS, text, checkout.ended_at, books, f"reservation: {state}")
    elif checkout.is_completed and reservation is not None:
        wants: Counter[int] = Counter()
        for line in checkout.lines:
            wants[line.product_id] += line.quantity
        if dict(reservation.lines) != dict(wants):
            text = "the stock sold is not what was bought"
            detail = f"reservation: {_shown(reservation.lines)}; checkout: {_shown(tuple(sorted(wants.items())))}"
            yield _difference(found, Kind.RESERVATIONS, text, checkout.ended_at, books, detail)
    elif reservation is not None and (reservation.holds or state == "CONFIRMED"):
        text = "the checkout has failed, and its stock is held or sold"
        since = max(checkout.ended_at, reservation.at)
        yield _difference(found, Kind.RESERVATIONS, text, since, books, f"reservation: {state}")


def _outbox(found: Dossier, now: datetime) -> Iterator[Difference]:
    checkout = found.checkout
    books = (Book.CHECKOUTS, Book.OUTBOX)
    is_completed = checkout is not None and checkout.is_completed
    if checkout is not None and checkout.is_completed and checkout.ended_at is not None:
        if not found.events and now - checkout.ended_at < EVENTS_KEPT:
            text = "the checkout is completed, and has no event"
            yield _difference(found, Kind.OUTBOX, text, checkout.ended_at, books)
        if len(found.events) > 1:
            text = "the checkout has more than one event"
            yield _difference(found, Kind.OUTBOX, text, checkout.ended_at, books, f"{len(found.events)} events")
    for event in found.events:
        ids = {"event_id": event.event_id}
        if not is_completed:
            text = "there is an event of a checkout that is not completed"
            state = checkout.status if checkout else "nothing"
            yield _difference(found, Kind.OUTBOX, text, event.created_at, books, f"checkout: {state}", **ids)
        elif checkout is not None and (event.user_id, event.order_id, event.total_minor) != (
            checkout.user_id,
            checkout.order_id,
            checkout.total_minor,
        ):
            text = "the event is not that of the checkout"
            yield _difference(found, Kind.OUTBOX, text, event.created_at, books, **ids)
        if event.dead_at is not None:
            text = "the event was given up"
            yield _difference(found, Kind.OUTBOX, text, event.dead_at, books, **ids)
        elif event.sent_at is None:
            text = "the event waits to be published"
            yield _difference(found, Kind.OUTBOX, text, event.created_at, books, **ids)
        elif event.event_id in found.missing_events:
            text = "the event is marked as published, and the topic does not have it"
            yield _difference(found, Kind.OUTBOX, text, event.sent_at, (Book.OUTBOX, Book.TOPIC), **ids)


def _cart(found: Dossier) -> Iterator[Difference]:
    checkout = found.checkout
    if Book.CARTS not in found.read or checkout is None or checkout.ended_at is None:
        return
    if not checkout.is_completed or checkout.source != "cart":
        return
    cart = found.cart or Cart(checkout.user_id, 0)
    books = (Book.CHECKOUTS, Book.CARTS)
    bought = {line.line_id for line in checkout.lines if line.line_id}
    left = [line for line in cart.lines if line.line_id in bought and checkout.id not in line.bought]
    since = _told_at(found, checkout.ended_at)
    if left and since is not None:
        detail = "; ".join(f"{line.quantity} of product {line.product_id}" for line in left)
        yield _difference(found, Kind.CARTS, "what was bought is still in the cart", since, books, detail)
    seen = max(checkout.cart_version or 0, checkout.cleared_version or 0)
    if cart.version < seen:
        text = "the cart is older than it was when it was bought"
        detail = f"cart: version {cart.version}; checkout: version {seen}"
        yield _difference(found, Kind.CARTS, text, checkout.ended_at, books, detail)


def compare_stock(stock: Stock, first: int, now: datetime) -> Iterator[Difference]:
    """Yield the differences of a product's stock.

    `first` is what `received` was without deliveries when this process first read it: only a delivery may add to it.
    """
    rules = {
        "held stock is not that of the reservations": (stock.reserved, stock.lines_held),
        "sold stock is not that of the reservations": (stock.sold, stock.lines_sold),
        "held, sold and free stock are not what was received": (
            stock.available + stock.reserved + stock.sold,
            stock.received,
        ),
        "what was received has changed without a delivery": (stock.received - stock.delivered, first),
    }
    for what, (has, wants) in rules.items():
        if has != wants:
            yield Difference(
                Kind.STOCK,
                f"product {stock.product_id}",
                what,
                now,
                frozenset({Book.STOCK, Book.RESERVATIONS}),
                f"{has}, not {wants}",
                {"product_id": str(stock.product_id)},
            )
