"""Shoppers who share carts and keys, on a whole platform by REST, while its processes are killed and stopped."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from devstack.client import Stack
from tests.linearizability.history import History, Operation

GROUPS, SHOPPERS = 4, 4
USER_SECONDS = 12.0
"""How long a group uses one cart, so that no history grows too long to be checked."""
PRODUCTS = range(1, 6)
ANSWER_SECONDS = 10.0
NOT_DONE = {"service_unavailable", "overloaded"}
"""The codes that promise that nothing was done (docs/api.md)."""
OF_THE_STATE = {"cart_item_not_found", "cart_empty", "checkout_running"}
KILLED = (
    "cart",
    "cart-consumer",
    "gateway",
    "checkout",
    "checkout-recovery",
    "mongodb",
    "postgres",
    "product",
    "redis",
)
STOPPED = {"cart": 1.5, "checkout": 1.5, "mongodb": 1.0}
"""Seconds for which a process is stopped, and then goes on."""
CALM_SECONDS = 4.0
"""The most time between the end of a fault and the next one."""
STALE_NS = 11 * 10**9
"""How long after an outage of Redis a read may be from before a write (docs/proof.md): 10 s, and what a read takes."""


@dataclass(slots=True)
class Key:
    """What is known of a checkout key."""

    asked: int
    """When it was first asked for; in nanoseconds, as the history has it."""
    checkout: str = ""
    named: int = 0
    """When an answer named its checkout for the first time."""


@dataclass(slots=True)
class Basket:
    """A user and the keys of their checkouts."""

    user: int
    keys: dict[str, Key] = field(default_factory=dict)


class Shop:
    """A platform, what was asked of it, and what it answered."""

    def __init__(self, url: str, first_user: int) -> None:
        self.history = History()
        self.seen: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.baskets: list[Basket] = []
        self._url = url
        self._next_user = first_user
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def open(self) -> list[threading.Thread]:
        """Let the shoppers in."""
        threads = []
        for group in range(GROUPS):
            basket: list[Basket] = [self._new_basket()]
            changing = threading.Thread(target=self._change_user, args=(basket,), daemon=True)
            shopping = [
                threading.Thread(target=self._shop, args=(basket, group * SHOPPERS + number), daemon=True)
                for number in range(SHOPPERS)
            ]
            threads += [changing, *shopping]
        for thread in threads:
            thread.start()
        return threads

    def close(self, threads: list[threading.Thread]) -> None:
        """Send the shoppers home."""
        self._stop.set()
        for thread in threads:
            thread.join(timeout=2 * ANSWER_SECONDS)

    def _new_basket(self) -> Basket:
        with self._lock:
            self._next_user += 1
            basket = Basket(self._next_user)
            self.baskets.append(basket)
            return basket

    def _change_user(self, basket: list[Basket]) -> None:
        while not self._stop.wait(USER_SECONDS):
            basket[0] = self._new_basket()

    def _shop(self, basket: list[Basket], client: int) -> None:
        draw = random.Random(client)
        actions: list[Callable[[Basket, int, random.Random], None]] = [
            self._read,
            self._add,
            self._set,
            self._remove,
            self._clear,
            self._buy,
        ]
        while not self._stop.is_set():
            [act] = draw.choices(actions, [8, 6, 2, 2, 1, 3])
            try:
                act(basket[0], client, draw)
            except AssertionError as error:
                self.unexpected.append(str(error))
            time.sleep(draw.random() * 0.1)

    def _read(self, basket: Basket, client: int, _: random.Random) -> None:
        self.read(basket, client)

    def read(self, basket: Basket, client: int) -> bool:
        """Read a cart; False where there is no answer."""
        return self._cart(basket, client, "GET", "/api/v1/cart", None, "read")

    def _add(self, basket: Basket, client: int, draw: random.Random) -> None:
        item = {"product_id": draw.choice(PRODUCTS), "quantity": draw.randint(1, 20)}
        facts = {"product": item["product_id"], "quantity": item["quantity"]}
        self._cart(basket, client, "POST", "/api/v1/cart/items", item, "add", **facts)

    def _set(self, basket: Basket, client: int, draw: random.Random) -> None:
        product, quantity = draw.choice(PRODUCTS), draw.randint(1, 20)
        path = f"/api/v1/cart/items/{product}"
        self._cart(basket, client, "PUT", path, {"quantity": quantity}, "set", product=product, quantity=quantity)

    def _remove(self, basket: Basket, client: int, draw: random.Random) -> None:
        product = draw.choice(PRODUCTS)
        self._cart(basket, client, "DELETE", f"/api/v1/cart/items/{product}", None, "remove", product=product)

    def _clear(self, basket: Basket, client: int, _: random.Random) -> None:
        self._cart(basket, client, "DELETE", "/api/v1/cart", None, "clear")

    def _cart(self, basket: Basket, client: int, verb: str, path: str, body: Any, kind: str, **facts: Any) -> bool:
        asked = self.history.begin(f"cart:{basket.user}", client, kind, **facts)
        answer, sent = self._ask(basket.user, verb, path, body)
        code = answer.json().get("code", "") if answer is not None and answer.status_code != 200 else ""
        if answer is not None and answer.status_code == 200:
            shown = {item["product_id"]: item["quantity"] for item in answer.json()["items"]}
            self.history.end(asked, shown)
            return True
        if code in OF_THE_STATE:
            self.history.end(asked, refused=code)
        elif not sent or code in NOT_DONE or kind == "read":
            self.history.drop(asked)
            self.seen["not done"] += 1
        else:
            self.seen["unknown"] += 1  # it stays in the history, without an answer
        return False

    def _ask(self, user: int, verb: str, path: str, body: Any) -> tuple[requests.Response | None, bool]:
        """Return the answer, and whether the request was sent. AssertionError for an answer that nothing here can cause."""
        try:
            answer = requests.request(
                verb, self._url + path, json=body, headers={"X-User-Id": str(user)}, timeout=ANSWER_SECONDS
            )
        except requests.RequestException as error:
            reason = getattr(error.args[0] if error.args else None, "reason", None)
            return None, not isinstance(reason, NewConnectionError)
        self.seen[f"{verb} {answer.status_code}"] += 1
        code = "" if answer.status_code < 400 else answer.json()["code"]
        assert answer.status_code < 400 or answer.status_code >= 500 or code in OF_THE_STATE, answer.text
        return answer, True

    def _buy(self, basket: Basket, client: int, draw: random.Random) -> None:
        """Check out under a new key, or one that is or was used by any of those who share the cart."""
        known = list(basket.keys)
        self.buy(
            basket,
            client,
            draw.choice(known[-2:]) if known and draw.random() < 0.5 else f"k{client}-{draw.randrange(10**9)}",
        )

    def buy(self, basket: Basket, client: int, name: str) -> str:
        """Check out under a key; return what is known then: its status, a refusal, or nothing."""
        asked = self.history.begin(f"key:{basket.user}/{name}", client, "start")
        claiming = self.history.begin(f"cart:{basket.user}", client, "claim")
        key = basket.keys.setdefault(name, Key(asked.call))
        answer, _ = self._ask(basket.user, "POST", "/api/v1/checkout", {"idempotency_key": name})
        if answer is None or answer.status_code >= 500:
            self.history.drop(asked)
            self.history.drop(claiming)
            self.seen["checkouts without an answer"] += 1
            return ""
        said = answer.json()
        if answer.status_code >= 400:
            self.history.end(asked, refused=said["code"])
            if said["code"] == "cart_empty":
                self.history.end(claiming, refused="cart_empty")
            else:
                self.history.drop(claiming)
            return str(said["code"])
        self.history.drop(claiming)  # what it has claimed is asked for at the end
        self.history.end(asked, id=said["checkout_id"], status=said["status"], body=answer.text)
        if not key.checkout:
            key.named, key.checkout = asked.returned or 0, said["checkout_id"]
        return str(said["status"])

    @property
    def checkouts(self) -> set[str]:
        """The checkouts that shoppers were told of."""
        return {key.checkout for basket in self.baskets for key in basket.keys.values() if key.checkout}

    def settle(self, seconds: float = 90.0) -> None:
        """Ask for each key until it has ended or is refused, and note what each checkout has claimed."""
        ends_at = time.monotonic() + seconds
        for basket in self.baskets:
            for name in basket.keys:
                while self.buy(basket, 0, name) not in {"COMPLETED", "FAILED", "cart_empty"}:
                    assert time.monotonic() < ends_at, f"the key {name} of {basket.user} does not end"
                    time.sleep(0.1)

    def note_claims(self) -> None:
        """Add to the history of each cart what its checkouts have claimed, and that what was bought has left it by now."""
        now = time.monotonic_ns()
        for basket in self.baskets:
            for key in basket.keys.values():
                if not key.checkout:
                    continue
                shown = requests.get(
                    f"{self._url}/api/v1/checkout/{key.checkout}",
                    headers={"X-User-Id": str(basket.user)},
                    timeout=ANSWER_SECONDS,
                ).json()
                cart = {str(item["product_id"]): item["quantity"] for item in shown["items"]}
                name, facts = f"cart:{basket.user}", {"id": key.checkout}
                claim = Operation(name, 0, "claim", key.asked, key.named, facts | {"cart": cart})
                self.history.operations.append(claim)
                self.seen[f"checkouts {shown['status']}"] += 1
                if shown["status"] == "COMPLETED":
                    self.history.operations.append(Operation(name, 0, "removal", key.asked, now, facts))


class Nemesis(threading.Thread):
    """Kills and stops processes, one after the other."""

    def __init__(self, stack: Stack, seed: int) -> None:
        super().__init__(daemon=True)
        self.done: Counter[str] = Counter()
        self.redis_away: list[tuple[int, int]] = []
        """From when to when, in nanoseconds of the history, reads may be stale."""
        self._stack = stack
        self._draw = random.Random(seed)
        self._ending = threading.Event()

    def run(self) -> None:
        faults = [*((name, None) for name in KILLED), *STOPPED.items()]
        while not self._ending.is_set():
            self._draw.shuffle(faults)
            for name, stopped in faults:
                if self._ending.wait(CALM_SECONDS * self._draw.random()):
                    return
                self._strike(name, stopped)
                self._stack.wait_ready()  # what is always down shows nothing

    def _strike(self, name: str, stopped: float | None) -> None:
        began = time.monotonic_ns()
        if stopped is None:
            restarts = self._stack.row(name)["restarts"]
            self._stack.kill(name)
            self.done[f"killed {name}"] += 1
            while self._stack.row(name)["restarts"] == restarts:  # nobody has noticed yet that it is gone
                time.sleep(0.05)
        elif pid := self._stack.kill(name, signal.SIGSTOP):
            time.sleep(stopped)
            self._continue(name, pid)
            self.done[f"stopped {name}"] += 1
        if name == "redis":
            self._stack.wait_ready("redis")
            self.redis_away.append((began, time.monotonic_ns() + STALE_NS))

    def _continue(self, name: str, pid: int) -> None:
        if self._stack.pid(name) == pid:
            self._stack.kill(name, signal.SIGCONT)

    def end(self) -> None:
        """Stop striking, and wait until everything runs again."""
        self._ending.set()
        self.join()
        self._stack.wait_ready()


def without_stale_reads(history: History, away: list[tuple[int, int]]) -> list[Operation]:
    """Return the history without the reads for which nothing is promised, since Redis was away."""

    def promised(one: Operation) -> bool:
        return one.kind != "read" or not any(one.call < until and (one.returned or 0) > since for since, until in away)

    return [one for one in history.operations if promised(one)]
