"""What shoppers know of their carts, and what the carts may therefore hold."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Removal:
    """A request after which all that was in the cart of a product may be gone."""

    product_id: int
    until: float = math.inf
    """When it was over, in seconds: nothing that is put in later is removed by it. It is never over if nobody knows what came of it."""
    claimed: Collection[str] = ()
    """The checkouts that had claimed the cart by then, and will take nothing of what is put in later. None, where the line stays."""


@dataclass(slots=True)
class Books:
    """What one shopper did to a cart."""

    added: list[tuple[int, int, float]] = field(default_factory=list)
    """What was acknowledged: product, quantity, and when it was asked for."""
    maybe_added: Counter[int] = field(default_factory=Counter)
    """What may be there beyond that, by product."""
    removals: list[Removal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bought:
    """A line of a completed checkout of a cart."""

    checkout_id: str
    product_id: int
    quantity: int


def wrong(books: Sequence[Books], product_id: int, there: int, lines: Sequence[Bought]) -> str:
    """Say what is wrong with a product of which `there` pieces are in a cart, and `lines` were bought; empty where nothing is.

    `books` are those of all windows of the cart's user.
    """
    added = [one for each in books for one in each.added if one[0] == product_id]
    bought = [line for line in lines if line.product_id == product_id]
    most = sum(quantity for _, quantity, _ in added) + sum(each.maybe_added[product_id] for each in books)
    total = there + sum(line.quantity for line in bought)
    if total > most:
        return f"{there} in the cart and {total - there} bought, of {most} at most that were put in"
    removals = [one for each in books for one in each.removals if one.product_id == product_id]
    over = max((one.until for one in removals), default=-math.inf)
    least = sum(quantity for _, quantity, asked_at in added if asked_at >= over)
    before = set[str]().union(*(one.claimed for one in removals)).intersection(*(one.claimed for one in removals))
    left = there + sum(line.quantity for line in bought if line.checkout_id not in before)
    if left < least:
        return f"{there} in the cart and {left - there} bought, of {least} at least that were put in and not taken out"
    return ""
