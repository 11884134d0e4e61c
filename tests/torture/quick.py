"""Kills every process in turn, each while checkouts are under way, and then counts the money, the orders and the stock.

Run by `make torture-quick`. It judges from the databases, never through the services, and fails when a figure that shows
that something was really interrupted is zero. Bounded: one kill per part, and buyers that stop when the last is done.
"""

import asyncio
import itertools
import random
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import requests
from rich.console import Console

from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.stores import data_folder
from devstack.table import PARTS
from tests.kube import Kube

BUYERS = 24
LEAST_IN_FLIGHT = 10
DROPPED = 20
SETTLE_SECONDS = 120.0
SHOWN_SECONDS = 40.0  # two full comparisons, and a little
ENDED = {"COMPLETED", "FAILED"}
console = Console(highlight=False)


@dataclass
class Load:
    """Buyers that never give up on a key."""

    url: str
    home: Home
    stop: threading.Event = field(default_factory=threading.Event)
    answers: dict[str, str] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    users: Any = field(default_factory=lambda: itertools.count(secrets.randbelow(10**9) + 1))

    def apply_on(self) -> None:
        """Apply a Checkout, user after user, and wait until each has ended, until told to stop."""
        kube = Kube(self.home)
        while not self.stop.is_set():
            user = next(self.users)
            name = f"torture-{user}"
            items = [{"productId": random.randint(1, 5), "quantity": random.randint(1, 3)}]
            while not self.stop.is_set():
                try:
                    if kube.get(name) is None:
                        kube.create(name, {"userId": user, "items": items, "ttlSecondsAfterFinished": 3600})
                    if ended := kube.finished(name):
                        self.answers[ended["checkoutId"]] = {"Completed": "COMPLETED"}.get(ended["phase"], "FAILED")
                        self.seen[f"resource {ended['phase']}"] += 1
                        break
                except (requests.RequestException, KeyError):
                    self.seen["no answer"] += 1
                time.sleep(0.1)

    def buy_on(self) -> None:
        """Buy, user after user, until told to stop."""
        while not self.stop.is_set():
            headers = {"X-User-Id": str(next(self.users))}
            cart = {"product_id": random.randint(1, 5), "quantity": random.randint(1, 3)}
            if self._insist("/api/v1/cart/items", cart, headers):
                ended = self._insist("/api/v1/checkout", {"idempotency_key": "only"}, headers)
                if ended:
                    self.answers[ended["checkout_id"]] = ended["status"]

    def _insist(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any] | None:
        while not self.stop.is_set():
            try:
                answer = requests.post(self.url + path, json=body, headers=headers, timeout=10)
            except requests.RequestException:
                self.seen["no answer"] += 1
                time.sleep(0.1)
                continue
            self.seen[f"{answer.status_code}"] += 1
            if answer.status_code == 200:
                return answer.json()
            if answer.status_code in {400, 409}:
                return None  # the cart write was lost with its process and its answer: the next user will do
            time.sleep(0.1)
        return None


def ask(url: str, query: str) -> list[dict[str, Any]]:
    """Ask a database."""

    async def fetch() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return [dict(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def number(url: str, query: str) -> int:
    """Ask a database for one number."""
    return int(next(iter(ask(url, query)[0].values())) or 0)


def in_flight(url: str) -> int:
    """Count the checkouts under way; none is seen while the database is away."""
    try:
        return number(url, "SELECT count(*) FROM checkout.checkout_sessions WHERE status = 'PROCESSING'")
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return 0


def kill_all(stack: Stack, url: str) -> dict[str, int]:
    """Kill each part once while enough checkouts are under way, and give how many were."""
    under_way = {}
    for name in PARTS:
        ends_at = time.monotonic() + 60
        while (count := in_flight(url)) < LEAST_IN_FLIGHT:
            if time.monotonic() > ends_at:
                raise AssertionError(f"{name}: only {count} checkouts under way after a minute")
            time.sleep(0.02)
        before = stack.row(name)["restarts"]
        stack.kill(name)
        under_way[name] = count
        ends_at = time.monotonic() + 60
        while stack.row(name)["restarts"] == before:
            if time.monotonic() > ends_at:
                raise AssertionError(f"{name}: not started again within a minute")
            time.sleep(0.05)
        stack.wait_ready(timeout=60)
        console.print(f"  killed {name:<20} with {count:>3} checkouts under way")
    return under_way


def settle(url: str) -> None:
    """Wait until every checkout has ended, every event is out and every order is made."""
    open_work = """
        SELECT (SELECT count(*) FROM checkout.checkout_sessions WHERE status = 'PROCESSING')
             + (SELECT count(*) FROM checkout.outbox_events WHERE processed_at IS NULL)
             + (SELECT count(*) FROM checkout.checkout_sessions s WHERE status = 'COMPLETED'
                AND NOT EXISTS (SELECT 1 FROM orders.orders o WHERE o.checkout_id = s.id::text))"""
    ends_at = time.monotonic() + SETTLE_SECONDS
    while left := number(url, open_work):
        if time.monotonic() > ends_at:
            raise AssertionError(f"{left} pieces of work are still open after {SETTLE_SECONDS:.0f} s")
        time.sleep(0.25)


def shown(kube: Kube, url: str) -> None:
    """Wait until every resource shows how its checkout has ended; AssertionError where one does not."""
    ended = "SELECT id, status, origin_ref->>'name' AS name FROM checkout.checkout_sessions WHERE origin = 'resource'"
    rows = ask(url, ended)
    ends_at = time.monotonic() + SHOWN_SECONDS
    while wrong := [row["name"] for row in rows if kube.status(row["name"]).get("phase", "").upper() != row["status"]]:
        if time.monotonic() > ends_at:
            raise AssertionError(f"{len(wrong)} resources do not show how they ended, {wrong[0]} among them")
        time.sleep(0.5)


def judge(urls: dict[str, str], load: Load) -> dict[str, int]:
    """Hold the books against each other, and give the figures; AssertionError where they do not agree."""
    shop, bank = urls["POSTGRES_URL"], urls["BANK_POSTGRES_URL"]
    completed = {
        str(row["id"]): row["total_amount"]
        for row in ask(shop, "SELECT id, total_amount FROM checkout.checkout_sessions WHERE status = 'COMPLETED'")
    }
    captured = {
        row["key"]: row["amount_minor"]
        for row in ask(bank, "SELECT key, amount_minor FROM bank.transactions WHERE state = 'CAPTURED'")
    }
    ordered = {row["checkout_id"]: row["total_minor"] for row in ask(shop, "SELECT * FROM orders.orders")}
    assert completed == captured, "captured money is not that of the completed checkouts"
    assert completed == ordered, "orders are not those of the completed checkouts"
    held = "SELECT count(*) FROM inventory.reservation WHERE state IN ('HELD', 'PINNED')"
    assert number(shop, held) == 0, "something is still reserved"
    lines = """SELECT count(*) FROM inventory.stock s WHERE reserved <> 0 OR received <> available + sold OR sold <>
        (SELECT coalesce(sum(quantity), 0) FROM inventory.reservation_line l JOIN inventory.reservation r
         USING (checkout_id) WHERE r.state = 'CONFIRMED' AND l.product_id = s.product_id)"""
    assert number(shop, lines) == 0, "stock is not conserved"
    bought = "SELECT sum((l->>'quantity')::int) FROM checkout.checkout_sessions, jsonb_array_elements(snapshot) l WHERE status = 'COMPLETED'"
    assert number(shop, bought) == number(shop, "SELECT sum(sold) FROM inventory.stock"), (
        "what was sold is not what was bought"
    )
    states = {str(row["id"]): row["status"] for row in ask(shop, "SELECT id, status FROM checkout.checkout_sessions")}
    wrong = [key for key, status in load.answers.items() if states.get(key) != status]
    assert not wrong, f"{len(wrong)} shoppers were told something else than what holds"
    return {
        "applied as resources": number(
            shop, "SELECT count(*) FROM checkout.checkout_sessions WHERE origin = 'resource' AND status = 'COMPLETED'"
        ),
        "completed": len(completed),
        "failed": sum(status == "FAILED" for status in states.values()),
        "taken over": number(shop, "SELECT count(*) FROM checkout.checkout_sessions WHERE lease_epoch > 1"),
        "resolved from unknown": number(
            shop, "SELECT count(*) FROM payment.payments WHERE attempts > 1 AND state <> 'INTENT'"
        ),
        "deduplicated": number(bank, "SELECT sum(requests - 1) FROM bank.transactions"),
    }


def main() -> int:
    """Run it, and give the exit code."""
    home = Home(ROOT / ".cartwright" / "torture")
    Stack(home).down()
    shutil.rmtree(data_folder("postgres", home), ignore_errors=True)
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, env={"BANK_SUCCESS_RATE": "0.9"})
    load = Load(stack.env()["CARTWRIGHT_URL"], home)
    buyers = [
        threading.Thread(target=target, daemon=True)
        for target in (load.buy_on, load.apply_on)
        for _ in range(BUYERS // 2)
    ]
    try:
        urls = stack.env()
        # Some replies of the bank are lost as well, so that charges are sent again.
        order = [sys.executable, "-m", "services.bank.admin", "drop", "--times", str(DROPPED)]
        subprocess.run(order, check=True, cwd=ROOT, env=user_environment() | urls)
        for buyer in buyers:
            buyer.start()
        under_way = kill_all(stack, urls["POSTGRES_URL"])
        load.stop.set()
        for buyer in buyers:
            buyer.join(timeout=15)
        settle(urls["POSTGRES_URL"])
        shown(Kube(home), urls["POSTGRES_URL"])
        figures = {"in flight at the kills": sum(under_way.values())} | judge(urls, load)
    except AssertionError as error:
        console.print(f"[red]FAILED:[/] {error}; the logs are in {home.path / 'logs'}")
        return 1
    finally:
        load.stop.set()
        stack.down()
    console.print(f"answers: {dict(load.seen)}")
    for name, value in figures.items():
        console.print(f"  {name:<24} {value:>6}")
    if vacuous := [name for name, value in figures.items() if not value]:
        console.print(f"[red]FAILED:[/] nothing was shown: {', '.join(vacuous)} is zero")
        return 1
    console.print(f"{len(under_way)} kills: captured = completed = orders, stock conserved, nothing reserved")
    return 0


if __name__ == "__main__":
    sys.exit(main())
