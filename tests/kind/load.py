"""Buyers that count every failure.

Only a 503 is retried, as the contract says, with the same key; the retries are counted.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.kube import MOUSE, Kube
from tests.platforms import Platform, next_user

BY_REST, BY_RESOURCE = 4, 2
PAUSE_SECONDS = 0.2  # between two purchases of a buyer: steady, with room for what is tested on the same two cores
LATE_SECONDS = 60.0


@dataclass
class Load:
    """The answers that buyers got. Buyers are threads: they append to lists, and every count is made from those."""

    url: str
    kube: Callable[[], Kube]
    began: float = field(default_factory=time.monotonic)
    stop: threading.Event = field(default_factory=threading.Event)
    users: list[int] = field(default_factory=list)
    bought: list[tuple[bool, float]] = field(default_factory=list)
    """Return whether each purchase was answered late, after a 202, and how many seconds it took."""
    failed: list[str] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    """The user of each request that was sent again after a 503."""

    def __str__(self) -> str:
        late, slowest = sum(late for late, _ in self.bought), max((took for _, took in self.bought), default=0.0)
        return (
            f"{len(self.bought)} checkouts, {len(self.failed)} failed, {late} answered late, "
            f"{len(self.again)} answers of 503, slowest {slowest:.1f} s"
        )

    def by_rest(self) -> None:
        """Buy by REST, user after user, on a connection that is kept."""
        with requests.Session() as session:
            while not self.stop.wait(PAUSE_SECONDS):
                self._note(self._buy, session)

    def by_resource(self) -> None:
        """Buy by Checkout resources, user after user."""
        kube = self.kube()
        while not self.stop.wait(PAUSE_SECONDS):
            self._note(self._apply, kube)

    def _note(self, buy: Any, by: Any) -> None:
        user, started = next_user(), time.monotonic()
        self.users.append(user)
        try:
            late = buy(by, user)
        except (AssertionError, requests.RequestException) as error:
            self.failed.append(f"user {user}, {started - self.began:.1f} s after the load began: {error!r}")
            return
        self.bought.append((late, time.monotonic() - started))

    def _buy(self, session: requests.Session, user: int) -> bool:
        ends_at = time.monotonic() + LATE_SECONDS

        def ask(method: str, path: str, body: Any = None) -> requests.Response:
            while True:
                headers = {"X-User-Id": str(user)}
                answer = session.request(method, self.url + path, json=body, headers=headers, timeout=10)
                if answer.status_code != 503 or time.monotonic() > ends_at:
                    return answer
                self.again.append(user)
                time.sleep(PAUSE_SECONDS)

        added = ask("POST", "/api/v1/cart/items", {"product_id": 2, "quantity": 1})
        assert added.status_code == 200, f"{added.status_code} {added.text}"
        bought = ask("POST", "/api/v1/checkout", {"idempotency_key": "only"})
        assert bought.status_code in {200, 202}, f"{bought.status_code} {bought.text}"
        status = bought.json()["status"]
        while status == "PROCESSING" and time.monotonic() < ends_at:
            time.sleep(PAUSE_SECONDS)
            status = ask("GET", bought.headers["Location"]).json().get("status")
        assert status == "COMPLETED", status
        return bought.status_code == 202

    def _apply(self, kube: Kube, user: int) -> bool:
        name = kube.apply(userId=user, items=MOUSE)
        started = time.monotonic()
        while not (ended := kube.finished(name)):
            assert time.monotonic() < started + LATE_SECONDS, f"{name} has not ended: {kube.status(name)}"
            time.sleep(PAUSE_SECONDS)
        assert ended["phase"] == "Completed", f"{name}: {ended}"
        return time.monotonic() - started > 4.8  # what REST would have answered with a 202


@contextmanager
def load_on(platform: Platform) -> Iterator[Load]:
    """Run buyers inside the `with` block; at its end every purchase that they began has ended."""
    load = Load(platform.urls["CARTWRIGHT_URL"], platform.kube)
    kinds = itertools.chain([load.by_rest] * BY_REST, [load.by_resource] * BY_RESOURCE)
    buyers = [threading.Thread(target=kind, daemon=True) for kind in kinds]
    for buyer in buyers:
        buyer.start()
    try:
        yield load
    finally:
        load.stop.set()
        for buyer in buyers:
            buyer.join(LATE_SECONDS + 20)
        assert not any(buyer.is_alive() for buyer in buyers), load
