"""Buyers that never give up on a key, by REST and by resource, whatever is killed under them."""

import itertools
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.kube import Kube


@dataclass
class Load:
    """Buyers that never give up on a key."""

    url: str
    kube: Callable[[], Kube]
    stop: threading.Event = field(default_factory=threading.Event)
    answers: dict[str, str] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Users whose cart was empty at their checkout, though what they put into it was acknowledged (I8)."""
    seen: Counter[str] = field(default_factory=Counter)
    users: Any = field(default_factory=lambda: itertools.count(secrets.randbelow(10**9) + 1))

    def apply_on(self) -> None:
        """Apply a Checkout, user after user, and wait until each has ended, until told to stop."""
        kube = self.kube()
        while not self.stop.is_set():
            user = next(self.users)
            name = f"torture-{user}"
            items = [{"productId": random.randint(1, 5), "quantity": random.randint(1, 3)}]
            while not self.stop.is_set():
                try:
                    if kube.get(name) is None:
                        self.applied.append(name)
                        kube.create({"userId": user, "items": items, "ttlSecondsAfterFinished": 3600}, name)
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
                if answer.json()["code"] == "cart_empty":
                    self.lost.append(headers["X-User-Id"])
                return None
            time.sleep(0.1)
        return None
