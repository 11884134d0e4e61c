"""Customers of the torture: each buys in one way, never gives up, and remembers what it did and what it was told."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from services.pb import bank_pb2 as pb
from tests.torture.shop import Shop

PATIENCE_SECONDS = 100.0
"""How long a customer repeats one request: the 60 s in which all comes to rest, and what a fault itself takes."""
POLL_SECONDS, MOST_SECONDS = 0.3, 3.0
"""A customer waits a little longer before each repeat, so that those of a platform that is too busy do not keep it busy."""
SOLD_OUT_CAST = "finds it sold out"
RESOURCE_SECONDS = 120
"""How long a resource stays after its end."""
SOLD_OUT = 6
"""A product without stock, which the torture adds to its platform."""


class Violated(AssertionError):
    """A promise was broken; `str()` says which and how."""


@dataclass
class Customer:
    """A user who no one else is. `added` was acknowledged, `maybe` was sent without an answer."""

    user_id: int
    cast: str
    status: str = "COMPLETED"
    """How its checkout must end."""
    added: Counter[int] = field(default_factory=Counter)
    maybe: Counter[int] = field(default_factory=Counter)
    late: int = 0
    """How many more pieces a fault may add that executes a request twice, or after its caller has given up."""
    answer: bytes = b""
    """The outcome, as it was first told by REST."""
    resource: str = ""
    """The name of its Checkout resource; empty where it buys by REST."""
    ended_at: float = 0.0
    """When its resource was seen to have ended, on the monotonic clock."""
    checkout_id: str = ""
    seen: Counter[str] = field(default_factory=Counter)

    async def run(self, shop: Shop) -> None:
        """Shop; Violated where a promise is broken on the way."""
        await CASTS[self.cast](self, shop)

    async def insist(self, shop: Shop, method: str, path: str, body: Any = None, *, maybe: int = 0) -> bytes:
        """Repeat a request until it is answered by 200; `maybe` is the product that it adds 1 of."""
        ends_at, pause = time.monotonic() + PATIENCE_SECONDS, POLL_SECONDS
        while True:
            status, answer = await shop.rest(self.user_id, method, path, body)
            self.seen[f"{status}"] += 1
            if status == 200:
                return answer
            if maybe:
                self.maybe[maybe] += 1
            if status not in {0, 202, 429, 500, 502, 503, 504}:
                raise Violated(f"user {self.user_id}: {method} {path} was answered {status} {answer!r}")
            if time.monotonic() > ends_at:
                raise Violated(
                    f"I10: user {self.user_id}: {method} {path} is {status} {answer!r} after {PATIENCE_SECONDS:.0f} s"
                )
            await asyncio.sleep(pause)
            pause = min(MOST_SECONDS, pause * 1.5)

    async def put_in(self, shop: Shop, product_id: int) -> None:
        """Put one piece of a product into the cart, and see that a read shows it."""
        await self.insist(
            shop, "POST", "/api/v1/cart/items", {"product_id": product_id, "quantity": 1}, maybe=product_id
        )
        self.added[product_id] += 1
        cart = json.loads(await self.insist(shop, "GET", "/api/v1/cart"))
        there = {line["product_id"]: line["quantity"] for line in cart["items"]}
        if there.get(product_id, 0) < self.added[product_id]:
            raise Violated(
                f"I9: user {self.user_id}: {product_id} was acknowledged {self.added}, the cart shows {there}"
            )

    async def check_out(self, shop: Shop) -> None:
        """Buy by REST, and ask again: the answer stays."""
        body = {"idempotency_key": "only"}
        self.answer = await self.insist(shop, "POST", "/api/v1/checkout", body)
        told = json.loads(self.answer)
        self.checkout_id = told["checkout_id"]
        if told["status"] != self.status:
            raise Violated(f"I6: user {self.user_id}: {self.cast} ended as {told}, not {self.status}")
        await self.ask_again(shop)

    async def ask_again(self, shop: Shop) -> None:
        """Repeat the checkout; Violated where another answer comes."""
        again = await self.insist(shop, "POST", "/api/v1/checkout", {"idempotency_key": "only"})
        if again != self.answer:
            raise Violated(f"I6: user {self.user_id} was told {self.answer!r}, and then {again!r}")

    async def apply(self, shop: Shop, **spec: Any) -> None:
        """Create a Checkout resource, as often as it takes."""
        self.resource = f"torture-{self.user_id}"
        body = {
            "apiVersion": "cartwright.dev/v1alpha1",
            "kind": "Checkout",
            "metadata": {"name": self.resource},
            "spec": {"userId": self.user_id, "ttlSecondsAfterFinished": RESOURCE_SECONDS, **spec},
        }
        await self._until(lambda: shop.kube("POST", "", body), lambda status, _: status in {201, 409}, "create")

    async def finished(self, shop: Shop) -> None:
        """Wait until the resource shows how its checkout has ended."""
        found = await self._until(
            lambda: shop.kube("GET", self.resource),
            lambda _, body: body.get("status", {}).get("phase") in {"Completed", "Failed"},
            "end",
        )
        self.ended_at = time.monotonic()
        phase = found["status"]["phase"].upper()
        self.checkout_id = found["status"]["checkoutId"]
        if phase != self.status:
            raise Violated(f"I7: {self.resource} ended as {found['status']}, not {self.status}")

    async def cancel(self, shop: Shop) -> None:
        """Ask for the cancellation once it pays."""
        await self._until(
            lambda: shop.kube("GET", self.resource),
            lambda _, body: body.get("status", {}).get("phase") in {"Paying", "Compensating", "Failed"},
            "pay",
        )
        change = {"spec": {"cancelRequested": True}}
        await self._until(lambda: shop.kube("PATCH", self.resource, change), lambda status, _: status == 200, "cancel")

    async def _until(
        self,
        ask: Callable[[], Awaitable[tuple[int, dict[str, Any]]]],
        good: Callable[[int, dict[str, Any]], bool],
        what: str,
    ) -> dict[str, Any]:
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            status, body = await ask()
            if good(status, body):
                return body
            if time.monotonic() > ends_at:
                raise Violated(
                    f"I10: {self.resource} did not {what} in {PATIENCE_SECONDS:.0f} s: {status} {body.get('status')}"
                )
            await asyncio.sleep(POLL_SECONDS)


async def _buy(one: Customer, shop: Shop) -> None:
    await one.put_in(shop, 1)
    await one.put_in(shop, 3)
    await one.check_out(shop)


async def _decline(one: Customer, shop: Shop) -> None:
    one.status = "FAILED"
    await shop.bank(one.user_id, pb.DECLINE)
    await one.put_in(shop, 2)
    await one.check_out(shop)


async def _sold_out(one: Customer, shop: Shop) -> None:
    one.status = "FAILED"
    await one.put_in(shop, SOLD_OUT)
    await one.check_out(shop)


async def _edit(one: Customer, shop: Shop) -> None:
    one.status = ""
    await one.put_in(shop, 4)
    await one.insist(shop, "PUT", "/api/v1/cart/items/4", {"quantity": 5})
    cart = json.loads(await one.insist(shop, "GET", "/api/v1/cart"))
    if [line["quantity"] for line in cart["items"]] < [5]:
        raise Violated(f"I9: user {one.user_id}: 5 were acknowledged, the cart shows {cart}")
    await one.insist(shop, "DELETE", "/api/v1/cart")
    one.added.clear()  # what is sent late may still come


async def _apply_items(one: Customer, shop: Shop) -> None:
    await one.apply(shop, items=[{"productId": 2, "quantity": 1}, {"productId": 5, "quantity": 2}])
    await one.finished(shop)


async def _apply_cart(one: Customer, shop: Shop) -> None:
    await one.put_in(shop, 4)
    await one.apply(shop)
    await one.finished(shop)


async def _apply_and_cancel(one: Customer, shop: Shop) -> None:
    one.status = "FAILED"
    await shop.bank(one.user_id, pb.HANG)
    await one.apply(shop, items=[{"productId": 3, "quantity": 1}])
    await one.cancel(shop)
    await one.finished(shop)


CASTS: dict[str, Callable[[Customer, Shop], Awaitable[None]]] = {
    "buys": _buy,
    "is declined": _decline,
    "edits": _edit,
    "applies": _apply_items,
    "applies its cart": _apply_cart,
    "cancels": _apply_and_cancel,
    SOLD_OUT_CAST: _sold_out,
}
"""The ways to shop, by name. Recording runs each, and a point is tortured with one that passes it."""
