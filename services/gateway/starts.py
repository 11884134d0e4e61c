"""Starting checkouts in batches, in which nobody waits for the slowest purchase.

The checkout service answers an item that takes longer than WAIT_MS as running, or as pending where it has not been claimed.
The gateway then asks again with the same key, which joins the same checkout, until the request's own time is over.
"""

import asyncio
import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from services.chassis import call
from services.chassis.batch import Batcher, Limits
from services.chassis.client import Endpoint, method_name, stamped
from services.chassis.telemetry import Metrics
from services.errors import InternalError, OutcomeUnknown, Transient
from services.pb import checkout_pb2 as pb

CHECKOUT_SECONDS = 4.8
WAIT_MS = 250
"""How long a checkout may hold up those that ride with it. Most end within a part of it."""
LIMITS = Limits(batch=64, waiting=512, under_way=8, wait_seconds=4.0)
"""More batches are under way than of other calls, since each may wait for its slowest for WAIT_MS."""
PAUSE_SECONDS = 0.02
"""Between two asks, so that a service that answers sooner than it may is not asked all the time."""
LEAST_SECONDS = 0.6
"""With less time left it is not asked again: the checkout service keeps half a second of each request for the way back."""


class Starts:
    """Starts checkouts, each within its request's time."""

    def __init__(self, endpoint: Endpoint, method: Any, metrics: Metrics) -> None:
        """Take a stub's StartCheckouts."""
        self._endpoint = endpoint
        self._method = method
        self._batcher: Batcher[pb.StartCheckout, pb.StartCheckoutResult] = Batcher(
            f"{endpoint.name}.{method_name(method)}",
            self._send,
            metrics,
            limits=LIMITS,
            owner=attrgetter("user_id"),
            stamp=stamped,
        )

    async def __call__(self, user_id: int, key: str) -> pb.StartCheckoutResult:
        """Start, join or replay a checkout. Returns its answer or its refusal.

        OutcomeUnknown: it was neither claimed nor refused in time, or no answer came. Unavailable: it was not started.
        """
        item = pb.StartCheckout(user_id=user_id, origin=pb.REST, idempotency_key=key, wait_ms=WAIT_MS)
        result = await self._batcher.ask(item)
        while _undecided(result) and _time_left() > LEAST_SECONDS:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                again = await self._batcher.ask(item)
            except Transient:
                break  # what is known of it stands: it may be running
            if again.WhichOneof("outcome") == "answer":
                again.answer.replayed = False  # it ended while this request waited
            result = again
        if result.WhichOneof("outcome") == "pending":
            raise OutcomeUnknown("the checkout has not been claimed in time")
        return result

    async def _send(self, items: Sequence[pb.StartCheckout]) -> Sequence[pb.StartCheckoutResult]:
        request = pb.StartCheckoutsRequest(items=items)
        reply = await self._endpoint.send(self._method, request, within=CHECKOUT_SECONDS)
        if len(reply.results) != len(items):
            raise InternalError from AssertionError(f"{len(items)} results were expected, {len(reply.results)} came")
        return list(reply.results)


def _undecided(result: pb.StartCheckoutResult) -> bool:
    outcome = result.WhichOneof("outcome")
    return outcome == "pending" or (outcome == "answer" and result.answer.status == pb.PROCESSING)


def _time_left() -> float:
    left = call.current().remaining()
    return math.inf if left is None else left
