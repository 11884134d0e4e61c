"""Removes what was bought from carts. It only makes the removal prompt: the next claim removes the same, if need be."""

from collections.abc import Awaitable, Callable, Sequence

from google.protobuf.json_format import Parse

from services.cart.domain import Cart, Purchase
from services.chassis.logs import Logger
from services.chassis.messages import Message
from services.pb import events_pb2 as pb

RemoveBought = Callable[[int, Sequence[Purchase]], Awaitable[Cart]]


class BadEvent(ValueError):
    """The message is no event of a completed checkout; it never will be."""


class PurchaseRemover:
    """Handles messages of the topic of checkouts."""

    def __init__(self, remove: RemoveBought, log: Logger) -> None:
        self._remove = remove
        self._log = log

    async def handle(self, messages: Sequence[Message]) -> None:
        """Remove the purchases of a batch. ParseError or BadEvent where one is no event; then nothing is removed."""
        events = [event_of(message) for message in messages]
        for message, event in zip(messages, events, strict=True):
            lines = tuple((line.line_id, line.quantity) for line in event.lines if line.line_id)
            if not lines:
                continue  # the checkout had items of its own, and left the cart alone
            await self._remove(event.user_id, [Purchase(event.checkout_id, lines)])
            request_id = message.headers.get("request_id", "")
            self._log.info("removed", checkout_id=event.checkout_id, user_id=event.user_id, request_id=request_id)


def event_of(message: Message) -> pb.CheckoutCompleted:
    """Read the event of a message; ParseError or BadEvent where it holds none."""
    if message.value is None:
        raise BadEvent("the message has no value")
    event = Parse(message.value, pb.CheckoutCompleted(), ignore_unknown_fields=True)
    if event.user_id < 1 or not event.checkout_id:
        raise BadEvent("the event names no user or no checkout")
    return event
