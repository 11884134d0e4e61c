"""The rows of the list of checkouts. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.console.words import Phase, counted, money, phase_of, reason_of, span
from services.pb import checkout_pb2

MOST_NAMES = 2


@dataclass(frozen=True, slots=True)
class Row:
    """A checkout in a list."""

    id: str
    user_id: int
    phase: Phase
    detail: str
    """Why it failed, or what its last attempt met."""
    items: str
    total: str
    origin: str
    created_at_ms: int
    took: str
    """How long it took; of one that runs, how old it is."""


def rows(checkouts: Iterable[checkout_pb2.Checkout], now_ms: int) -> list[Row]:
    """Return the rows of these checkouts, in their order."""
    return [_row(checkout, now_ms) for checkout in checkouts]


def _row(checkout: checkout_pb2.Checkout, now_ms: int) -> Row:
    return Row(
        id=checkout.id,
        user_id=checkout.user_id,
        phase=phase_of(checkout.saga_step),
        detail=reason_of(checkout.reason) if checkout.status == checkout_pb2.FAILED else checkout.note,
        items=items(checkout),
        total=money(checkout.total_minor, checkout.currency),
        origin="Resource" if checkout.origin == checkout_pb2.RESOURCE else "REST",
        created_at_ms=checkout.created_at_ms,
        took=span((checkout.finished_at_ms or now_ms) - checkout.created_at_ms),
    )


def items(checkout: checkout_pb2.Checkout) -> str:
    """Return what is bought, in a few words."""
    named = [f"{line.quantity} × {line.product_name or f'product {line.product_id}'}" for line in checkout.lines]
    if len(named) > MOST_NAMES:
        named = [*named[:MOST_NAMES], f"and {counted(len(named) - MOST_NAMES, 'more line')}"]
    return ", ".join(named) or "–"
