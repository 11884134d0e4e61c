"""The loads of the cost budget, and how one is weighed: shoppers do it, and the counters are read before and after."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests

from tests.bench.counters import Counters
from tests.platforms import OnThisMachine, Shopper

SETTING_UP = 8
FEWEST = 8
TRIES = 6
QUIET = 2.0  # seconds without a count: what was refused or is late has come to its end by then


class Refused(AssertionError):
    """A request was answered with a try-again: on a machine that is busy with other work that is another load."""


def answered(answer: requests.Response) -> requests.Response:
    """Give the answer where it is one, and Refused where it only says to try again."""
    if answer.status_code in {202, 503}:
        raise Refused(answer.text)
    assert answer.status_code == 200, answer.text
    return answer


def buy(shopper: Shopper) -> None:
    """Check out, and have it completed."""
    assert answered(shopper.buy("budget")).json()["status"] == "COMPLETED"


def add(shopper: Shopper) -> None:
    """Add something to the cart."""
    answered(shopper.ask("POST", "/api/v1/cart/items", {"product_id": 2, "quantity": 1}))


def read(path: str) -> Callable[[Shopper], None]:
    """Give what reads a page."""

    def act(shopper: Shopper) -> None:
        answered(shopper.ask("GET", path))

    return act


def read_checkout(shopper: Shopper) -> None:
    """Look for a checkout: one that is not there costs what one that is there costs."""
    answer = shopper.ask("GET", "/api/v1/checkout/7f8b1f0e-6a38-4c52-9a0e-1a5d3c2b4e6f")
    if answer.status_code != 404:
        answered(answer)


def read_twice(shopper: Shopper) -> None:
    """Read a cart that has just been written, which is a miss, and again, which is a hit."""
    for _ in range(2):
        answered(shopper.ask("GET", "/api/v1/cart"))


@dataclass(frozen=True)
class Load:
    """Something that shoppers do once each: what must be there before, and how it is seen that all has been done."""

    act: Callable[[Shopper], Any]
    before: Callable[[Shopper], Any] = add
    bought: bool = False

    @property
    def quiet(self) -> float:
        """For how many seconds nothing may move before all is taken to be done; a purchase is shown by its mirror last."""
        return 0.8 if self.bought else 0.3


LOADS = {
    "products": Load(read("/api/v1/products"), before=lambda _: None),
    "cart_twice": Load(read_twice),
    "checkout": Load(read_checkout, before=lambda _: None),
    "orders": Load(read("/api/v1/orders"), before=lambda _: None),
    "cart_write": Load(add),
    "purchase": Load(buy, bought=True),
}


class Scales:
    """A platform on which loads are weighed."""

    def __init__(self, platform: OnThisMachine, counters: Counters, eventually: Callable[..., Any]) -> None:
        self._platform, self.counters, self._eventually = platform, counters, eventually

    def weigh(self, load: Load, count: int, at_once: int) -> tuple[Counter[str], int]:
        """Have `count` shoppers do it, one after the other or all at once; give what that has cost, and how many did it.

        Where some of those at once are refused, half as many are as many as the machine bears.
        """
        for _ in range(TRIES - 1):
            try:
                return self._weigh(load, count, at_once), count
            except Refused:
                count = max(FEWEST, count // 2)
                at_once = min(at_once, count)
                self.counters.settled(QUIET)
        return self._weigh(load, count, at_once), count

    def _weigh(self, load: Load, count: int, at_once: int) -> Counter[str]:
        shoppers = self._ready(load, count)
        before = self.counters.settled(load.quiet)
        if at_once == 1:
            for shopper in shoppers:
                self._do(load, [shopper])
        else:
            self._do(load, shoppers)
        return self.counters.settled(load.quiet) - before

    def warm_up(self, count: int) -> None:
        """Have so many shoppers do everything once, uncounted."""
        for load in LOADS.values():
            with suppress(Refused):
                self._do(load, self._ready(load, count))
        self.counters.settled(QUIET)

    def _ready(self, load: Load, count: int) -> list[Shopper]:
        """Give shoppers who have what the load needs."""

        def ready(shopper: Shopper) -> bool:
            with suppress(Refused):
                load.before(shopper)
                return True
            return False

        shoppers = [self._platform.shopper() for _ in range(count)]
        with ThreadPoolExecutor(SETTING_UP) as pool:
            list(pool.map(lambda shopper: self._eventually(lambda: ready(shopper)), shoppers))
        return shoppers

    def _do(self, load: Load, shoppers: list[Shopper]) -> None:
        with ThreadPoolExecutor(len(shoppers)) as pool:
            list(pool.map(load.act, shoppers))
        if load.bought:
            self._delivered(shoppers)

    def _delivered(self, shoppers: list[Shopper]) -> None:
        """Wait until the carts are empty, the orders there and the mirrors finished; looked up where nothing is counted."""
        users = [shopper.user_id for shopper in shoppers]
        query = "SELECT (SELECT count(*) FROM orders.orders WHERE user_id = ANY($1::bigint[])) AS orders"
        self._eventually(lambda: self._platform.sql(query, users)[0]["orders"] == len(users))
        kube = self._platform.kube()
        self._eventually(lambda: self._mirrored(kube) >= set(users), 30, every=0.3)

    @staticmethod
    def _mirrored(kube: Any) -> set[int]:
        items = kube.session.get(kube.checkouts, timeout=10).json()["items"]
        return {one["spec"]["userId"] for one in items if one.get("status", {}).get("phase") == "Completed"}
