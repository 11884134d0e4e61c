"""Holds the books of some customers against each other and against what they were told, once nothing of theirs is under way.

Everything is read from the stores themselves, never through the services.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from tests.torture.customers import RESOURCE_SECONDS, Customer, Violated
from tests.torture.shop import Shop

REST_SECONDS = 60.0
FRESH_MS = 290_000
"""A cached cart that lives longer than this is one that the cart service still trusts."""


@dataclass
class Books:
    """What the stores have about some customers."""

    sessions: list[dict[str, Any]]
    captured: dict[str, int]
    orders: dict[str, list[dict[str, Any]]]
    events: dict[str, list[dict[str, Any]]]
    reservations: dict[str, str]
    carts: dict[int, dict[str, Any]]


async def read(shop: Shop, customers: Sequence[Customer]) -> Books:
    """Read the books of these customers."""
    users = [one.user_id for one in customers]
    sessions = await shop.ask("SELECT * FROM checkout.checkout_sessions WHERE user_id = ANY($1)", users)
    ids = [str(row["id"]) for row in sessions]
    captured = await shop.ask(
        "SELECT key, amount_minor FROM bank.transactions WHERE user_id = ANY($1) AND state = 'CAPTURED'",
        users,
        bank=True,
    )
    orders: dict[str, list[dict[str, Any]]] = {}
    for row in await shop.ask("SELECT * FROM orders.orders WHERE user_id = ANY($1)", users):
        orders.setdefault(row["checkout_id"], []).append(row)
    events: dict[str, list[dict[str, Any]]] = {}
    for row in await shop.ask("SELECT * FROM checkout.outbox_events WHERE aggregate_id::text = ANY($1)", ids):
        events.setdefault(str(row["aggregate_id"]), []).append(row)
    held = await shop.ask("SELECT checkout_id, state FROM inventory.reservation WHERE checkout_id = ANY($1)", ids)
    found = await shop.carts(users)
    return Books(
        sessions,
        {row["key"]: row["amount_minor"] for row in captured},
        orders,
        events,
        {row["checkout_id"]: row["state"] for row in held},
        {int(row["user_id"]): row for row in found},
    )


def unrest(books: Books) -> str:
    """Return what is still under way; empty where nothing is."""
    busy = []
    for row in books.sessions:
        checkout_id = str(row["id"])
        if row["status"] == "PROCESSING":
            busy.append(f"{checkout_id} is {row['step']} ({row['last_error']})")
            continue
        if row["status"] == "COMPLETED" and not books.orders.get(checkout_id):
            busy.append(f"{checkout_id} has no order")
        if any(event["processed_at"] is None for event in books.events.get(checkout_id, ())):
            busy.append(f"the event of {checkout_id} is not out")
        bought = {line["line_id"] for line in json.loads(row["snapshot"]) if line.get("line_id")}
        there = {
            line["line_id"]
            for line in books.carts.get(row["user_id"], {}).get("lines", ())
            if checkout_id not in line["bought"]
        }
        if row["status"] == "COMPLETED" and row["source"] == "cart" and bought & there:
            busy.append(f"what {checkout_id} bought is still in the cart")
    return "; ".join(busy)


def broken(books: Books, customers: Sequence[Customer]) -> list[str]:
    """Return the promises that do not hold at rest."""
    found: list[str] = []
    completed = {str(row["id"]): row for row in books.sessions if row["status"] == "COMPLETED"}
    totals = {key: row["total_amount"] for key, row in completed.items()}
    if books.captured != totals:
        found.append(f"I1: captured {books.captured}, completed {totals}")
    for checkout_id, state in books.reservations.items():
        wanted = {"CONFIRMED"} if checkout_id in completed else {"RELEASED", "EXPIRED"}
        if state not in wanted:
            found.append(f"I2, I5: the reservation of {checkout_id} is {state}, of {sorted(wanted)}")
    found += [f"I2: {one} is completed without a reservation" for one in completed if one not in books.reservations]
    found += _orders(books, completed)
    keys = Counter((row["user_id"], row["origin"], row["idempotency_key"]) for row in books.sessions)
    found += [f"I6: {key} has {count} checkouts" for key, count in keys.items() if count > 1]
    by_id = {str(row["id"]): row for row in books.sessions}
    for one in customers:
        found += _told(one, by_id) + _cart(one, books)
    return found


def _orders(books: Books, completed: dict[str, dict[str, Any]]) -> list[str]:
    found = []
    for checkout_id, those in books.orders.items():
        row = completed.get(checkout_id)
        if row is None or len(those) != 1:
            found.append(f"I3: {checkout_id} has {len(those)} orders and is {'' if row else 'not '}completed")
        elif (those[0]["id"], those[0]["total_minor"]) != (row["order_id"], row["total_amount"]):
            found.append(f"I3: the order of {checkout_id} is not what was bought")
    found += [
        f"I3: {checkout_id} has {len(books.events.get(checkout_id, ()))} events"
        for checkout_id in completed
        if len(books.events.get(checkout_id, ())) != 1
    ]
    found += [
        f"I10: the event of {checkout_id} was given up"
        for checkout_id, those in books.events.items()
        if any(event["dead_at"] for event in those)
    ]
    return found


def _told(one: Customer, sessions: dict[str, dict[str, Any]]) -> list[str]:
    if not one.status:
        return []
    row = sessions.get(one.checkout_id)
    if row is None or row["user_id"] != one.user_id or row["status"] != one.status:
        return [
            f"I8: user {one.user_id} was told {one.checkout_id} {one.status}, the database has {row and row['status']}"
        ]
    if one.answer and bytes(row["response_body"]) != one.answer:
        return [f"I6: user {one.user_id} was told {one.answer!r}, stored is {bytes(row['response_body'])!r}"]
    return []


def _cart(one: Customer, books: Books) -> list[str]:
    there = Counter(
        {int(line["product_id"]): int(line["quantity"]) for line in books.carts.get(one.user_id, {}).get("lines", ())}
    )
    bought: Counter[int] = Counter()
    for row in books.sessions:
        if row["user_id"] == one.user_id and row["status"] == "COMPLETED" and row["source"] == "cart":
            for line in json.loads(row["snapshot"]):
                bought[line["product_id"]] += line["quantity"]
    found = []
    for product_id in {*one.added, *one.maybe, *there, *bought}:
        now, least = there[product_id] + bought[product_id], one.added[product_id]
        # What one request sent may also come again, late, by a connection that was given up.
        most = least + one.maybe[product_id] + one.late
        if not least <= now <= most:
            found.append(
                f"I4: user {one.user_id}, product {product_id}: {there[product_id]} in the cart and"
                f" {bought[product_id]} bought, of {least} to {most} put in"
            )
    return found


async def shown(shop: Shop, customers: Sequence[Customer], books: Books) -> list[str]:
    """Return which resources and cached carts do not show what the database has."""
    wrong = []
    versions = {str(row["id"]): row["version"] for row in books.sessions}
    for one in customers:
        if one.resource:
            status, body = await shop.kube("GET", one.resource)
            said = body.get("status", {})
            if status != 200 and time.monotonic() < one.ended_at + RESOURCE_SECONDS:
                wrong.append(f"I7: {one.resource} cannot be read: {status}")
            elif status == 200 and (said.get("phase", "").upper(), said.get("sagaVersion")) != (
                one.status,
                versions.get(one.checkout_id),
            ):
                wrong.append(f"I7: {one.resource} shows {said.get('phase')} {said.get('sagaVersion')}")
        try:
            life, value = shop.redis.pttl(f"cart:{one.user_id}"), shop.redis.get(f"cart:{one.user_id}")
        except RedisError:
            continue
        version = int(books.carts.get(one.user_id, {}).get("version", 0))
        if value is not None and life > FRESH_MS and (cached := json.loads(value)["version"]) != version:
            wrong.append(f"I9: the cache shows version {cached} to user {one.user_id}, the cart is {version}")
    return wrong


async def stock(shop: Shop) -> list[str]:
    """Check I2 in one snapshot, whatever is under way."""
    wrong = await shop.ask(
        """SELECT s.product_id FROM inventory.stock s LEFT JOIN (
               SELECT l.product_id, coalesce(sum(l.quantity) FILTER (WHERE r.state IN ('HELD', 'PINNED')), 0) AS held,
                   coalesce(sum(l.quantity) FILTER (WHERE r.state = 'CONFIRMED'), 0) AS gone
               FROM inventory.reservation_line l JOIN inventory.reservation r USING (checkout_id) GROUP BY 1) x
           USING (product_id) WHERE received <> available + reserved + sold
               OR reserved <> coalesce(held, 0) OR sold <> coalesce(gone, 0)"""
    )
    return [f"I2: the stock of product {row['product_id']} is not as the reservations say" for row in wrong]


async def nothing_is_away() -> None:
    """Stand for a platform on which every part serves."""


async def check(
    shop: Shop, customers: Sequence[Customer], all_serve: Callable[[], Awaitable[None]] = nothing_is_away
) -> None:
    """Wait until these customers' books are at rest, and check them; Violated says what is broken.

    `all_serve` returns once every part and store serves. The time until then does not count: a broker that starts on a busy
    machine takes most of a minute, and no saga can end before it.
    """
    ends_at = time.monotonic() + REST_SECONDS
    pauses = itertools.chain((0.2, 0.3, 0.5), itertools.repeat(1.0))
    while True:
        since = time.monotonic()
        await all_serve()
        ends_at += time.monotonic() - since
        books = await read(shop, customers)
        waiting = unrest(books) or "; ".join(await shown(shop, customers, books))
        if not waiting:
            break
        if time.monotonic() > ends_at:
            raise Violated(f"I10: not at rest after {REST_SECONDS:.0f} s: {waiting}")
        await asyncio.sleep(next(pauses))
    if wrong := broken(books, customers):
        raise Violated("; ".join(wrong))
    await asyncio.gather(*(one.ask_again(shop) for one in customers if one.answer))
