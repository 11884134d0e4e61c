"""Removes what was bought from carts. It only makes the removal prompt: the next claim removes the same, if need be."""

import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from services.cart.domain import Cart, Purchase
from services.chassis.batch import Batcher
from services.chassis.logs import Logger
from services.chassis.messages import Message
from services.chassis.proto_json import Int32, Int64, Reader, Unreadable
from services.chassis.telemetry import Metrics

CLEARED_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
"""In seconds. The contract gives an event 2 s to reach the cart."""

Bought = Sequence[tuple[int, Sequence[Purchase]]]
"""Users, and what each of them has bought."""
RemoveBought = Callable[[Bought], Awaitable[Sequence[Cart | Exception]]]


class BadEvent(ValueError):
    """The message is no event of a completed checkout; it never will be."""


class PurchaseRemover:
    """Handles messages of the topic of checkouts. What several partitions remove at the same time is removed together."""

    def __init__(
        self, remove: RemoveBought, log: Logger, metrics: Metrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._remove = remove
        self._log = log
        self._clock = clock
        self._cleared = metrics.histogram(
            "cartwright_cart_cleared_seconds",
            "From a checkout's completion until what it bought had left the cart.",
            buckets=CLEARED_BUCKETS,
        )
        self._removals: Batcher[Bought, Sequence[Cart | Exception]] = Batcher("cart.remove", self._remove_all, metrics)

    async def handle(self, messages: Sequence[Message]) -> None:
        """Remove the purchases of a batch, from the carts of all its users at once.

        BadEvent or BadPurchase where one message is no event; then nothing is removed. Any other error is that of one cart;
        the purchases of the other carts are removed.
        """
        events = [event_of(message) for message in messages]
        purchases = [(event.user_id, purchase_in(event)) for event in events]
        by_user: dict[int, list[Purchase]] = {}
        for user_id, purchase in purchases:
            if purchase.lines:  # otherwise the checkout had items of its own, and left the cart alone
                by_user.setdefault(user_id, []).append(purchase)
        outcomes = await self._removals.ask(list(by_user.items())) if by_user else ()
        failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failed:
            raise failed[0]
        now = self._clock()
        for message, event, (user_id, purchase) in zip(messages, events, purchases, strict=True):
            if purchase.lines:
                if event.completed_at_ms:
                    self._cleared.observe(max(0.0, now - event.completed_at_ms / 1000))
                request_id, trace_id = message.headers.get("request_id", ""), message.trace_id
                self._log.info(
                    "removed",
                    checkout_id=purchase.checkout_id,
                    user_id=user_id,
                    request_id=request_id,
                    trace_id=trace_id,
                )

    async def _remove_all(self, batches: Sequence[Bought]) -> list[Sequence[Cart | Exception]]:
        outcomes = iter(await self._remove([one for bought in batches for one in bought]))
        return [[next(outcomes) for _ in bought] for bought in batches]


class PurchasedLine(msgspec.Struct, rename="camel"):
    """What removal needs to know of an event's line."""

    line_id: str = ""
    quantity: Int32 = 0


class CheckoutCompleted(msgspec.Struct, rename="camel"):
    """What removal needs to know of the event of that name in protos/events.proto."""

    user_id: Int64 = 0
    checkout_id: str = ""
    lines: tuple[PurchasedLine, ...] = ()
    completed_at_ms: Int64 = 0


_read = Reader(CheckoutCompleted)


def purchase_in(event: CheckoutCompleted) -> Purchase:
    """Return what was bought from the cart; BadPurchase where no cart can have had it."""
    return Purchase(event.checkout_id, tuple((line.line_id, line.quantity) for line in event.lines if line.line_id))


def event_of(message: Message) -> CheckoutCompleted:
    """Read the event of a message; BadEvent where it holds none."""
    try:
        event = _read(message.value)
    except Unreadable as error:
        raise BadEvent(str(error)) from error
    if event.user_id < 1 or not event.checkout_id:
        raise BadEvent("the event names no user or no checkout")
    return event
