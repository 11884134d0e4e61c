"""The loads of the bench: what each sends, over how many connections, and what of it counts as one request."""

from collections.abc import Mapping
from dataclasses import dataclass


class UnknownLoad(ValueError):
    """There is no load of this name."""


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop: so many connections, `amount` scripts' rounds each, and the label whose answers are its requests."""

    name: str
    title: str
    kind: str
    connections: int
    amount: int
    unit: str
    path: str = "/api/v1/products"
    every: float = 0.02
    buys: bool = False
    """Whether something is left to do when the last answer has come: events, orders, mirrors."""

    @property
    def total(self) -> int:
        """How many requests that are, if all goes well."""
        return self.connections * self.amount


CLOSED: Mapping[str, Load] = {
    load.name: load
    for load in (
        Load("products", "GET /products, 100 connections", "page", 100, 100, "page"),
        Load("cart", "GET /cart, warm, 50 connections", "readers", 50, 100, "cart"),
        Load("writes", "cart writes, 10 connections", "writers", 10, 100, "add"),
        Load("buyer", "one buyer, no pause", "buyers", 1, 200, "checkout", buys=True),
        Load("buyers8", "8 buyers, no pause", "buyers", 8, 40, "checkout", buys=True),
        Load("buyers64", "64 buyers, no pause", "buyers", 64, 16, "checkout", buys=True),
        Load("buyers256", "256 buyers, no pause", "buyers", 256, 4, "checkout", buys=True),
        Load("mixed", "32 shoppers: browse, add, change, buy", "shoppers", 32, 8, "checkout", buys=True),
        Load("event", "purchase → cart empty, order there", "delivered", 1, 20, "visible", every=0.002, buys=True),
        Load("event32", "the same, 32 at once", "delivered", 32, 4, "visible", every=0.02, buys=True),
    )
}
SPECIAL: Mapping[str, str] = {
    "overload": "open loop at three times what 64 buyers reach, then at half of it",
    "resources": "1,500 Checkout resources at once",
    "memory": "memory at rest and after all loads",
    "start": "cold start of the platform, and of gateway and checkout",
}
EVERY = (*CLOSED, *SPECIAL)


def chosen(names: str) -> tuple[str, ...]:
    """Read a list like `products,cart`; nothing is all. UnknownLoad says which there are."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in EVERY:
            raise UnknownLoad(f"there is no load {name!r}; the loads are: {', '.join(EVERY)}")
    return tuple(name for name in EVERY if name in wanted) if wanted else EVERY
