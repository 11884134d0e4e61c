"""What every long run must have reached at least once: a simulation that never gets there proves nothing about it."""

from collections.abc import Mapping

from services.checkout.domain import Step
from services.checkout.saga import TRANSITIONS
from tests.simulation.faults import CALLS

_SKIPS_PAID = {(Step.PAYING, Step.COMPLETED), (Step.CANCELLING, Step.COMPLETED)}
"""The row of PAID is left out where the confirm follows at once (services.checkout.saga.WRITTEN_LATE)."""

TRANSITIONS_REACHED = tuple(
    sorted(
        f"step: {came} -> {to}"
        for came, to in {(came, to) for came, later in TRANSITIONS.items() for to in later} | _SKIPS_PAID
    )
)
FAULTS = tuple(f"fault: {kind.value}" for kind in CALLS)
OUTAGES = ("outage: database", "outage: bank", "outage: mongo", "outage: redis", "outage: kafka", "outage: apiserver")
EVENTS = (
    "cache flushed",
    "cache lost in the middle of a write",
    "clock jumped: database",
    "clock jumped: process",
    "consumer expelled from its group",
    "consumer group rebalanced",
    "consumer joined again after it was expelled",
)
ENDS = (
    "ended: COMPLETED",
    "ended: FAILED Cancelled",
    "ended: FAILED EmptyCart",
    "ended: FAILED OutOfStock",
    "ended: FAILED PaymentDeclined",
    "ended: FAILED ReservationExpired",
    "ended: FAILED TimedOut",
    "ended: FAILED UnknownProduct",
)
REFUSALS = (
    "refused: another checkout of this cart is running",
    "refused: cart is empty",
    "refused: product not found",
    "refused: the idempotency key was used for other items",
)
CHANGES = (
    "cart changed: cleared",
    "cart changed: line removed",
    "cart changed: quantity set",
)
RECOVERIES = (
    "operator: cancel requested",
    "operator: resource Completed",
    "operator: resource Failed",
    "operator: status overwritten",
    "operator: watch died",
    "operator: watch fell silent",
    "answered: COMPLETED (replayed)",
    "answered: FAILED (replayed)",
    "answered: processing",
    "breaker_opened{redis}",
    "cart_cache{bypass}",
    "cart_cache{error}",
    "cart_cache{fill}",
    "cart_cache{fill_refused}",
    "cart_cache{hit}",
    "cart_cache{miss}",
    "cart_cache{write_unseen}",
    "events_duplicate",
    "left to recovery: CartBusy",
    "left to recovery: LostLease",
    "left to recovery: OutcomeUnknown",
    "messages_dead",
    "orders_made",
    "outbox_published",
    "payment left undecided",
    "payments_resolved",
    "reservations_expired",
    "retries{cart}",
    "retries{inventory}",
    "retries{payment}",
    "sagas_taken_over",
)
SOMETIMES = (*FAULTS, *OUTAGES, *EVENTS, *TRANSITIONS_REACHED, *ENDS, *REFUSALS, *CHANGES, *RECOVERIES)


def never_reached(coverage: Mapping[str, int]) -> list[str]:
    """Return what of SOMETIMES was not reached."""
    return [name for name in SOMETIMES if not coverage.get(name)]
