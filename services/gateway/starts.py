"""Starting checkouts in batches, in which nobody waits for the slowest purchase.

The checkout service answers an item that takes longer than WAIT_MS as running, or as pending where it has not been claimed.
The gateway then asks again with the same key, which joins the same checkout, until the request's own time is over. Those who
ask again ride apart from those who ask first, and wait longer: under load most purchases take longer than WAIT_MS.
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
AGAIN_WAIT_MS = 1000
"""How long a checkout may hold up those that are asked for again with it: so much later an answer may come."""
AGAIN_LIMITS = Limits(batch=16, waiting=512, under_way=32, wait_seconds=4.0)
"""Few share a wait, and all whom a gateway may have under way are asked for at once: none waits for a batch to come back."""
PAUSE_SECONDS = 0.02
"""Between two asks, so that a service that answers sooner than it may is not asked all the time."""
BACK_MS = 500
"""What is left of a request's time for the answer's way back."""
LEAST_SECONDS = 0.6
"""With less time left it is not asked again: the checkout service keeps half a second of each request for the way back."""


class Starts:
    """Starts checkouts, each within its request's time."""

    def __init__(self, endpoint: Endpoint, method: Any, metrics: Metrics) -> None:
        """Take a stub's StartCheckouts."""
        self._endpoint = endpoint
        self._method = method
        name = f"{endpoint.name}.{method_name(method)}"
        owner = attrgetter("user_id")
        self._first: Batcher[pb.StartCheckout, pb.StartCheckoutResult] = Batcher(
            name, self._send, metrics, limits=LIMITS, owner=owner, stamp=stamped
        )
        self._again: Batcher[pb.StartCheckout, pb.StartCheckoutResult] = Batcher(
            f"{name}.again", self._send_again, metrics, limits=AGAIN_LIMITS, owner=owner, stamp=stamped
        )

    async def __call__(self, user_id: int, key: str) -> pb.StartCheckoutResult:
        """Start, join or replay a checkout. Returns its answer or its refusal.

        OutcomeUnknown: it was neither claimed nor refused in time, or no answer came. Unavailable: it was not started.
        """
        item = pb.StartCheckout(user_id=user_id, origin=pb.REST, idempotency_key=key, wait_ms=WAIT_MS)
        result = await self._first.ask(item)
        while _undecided(result) and _time_left() > LEAST_SECONDS:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                again = await self._again.ask(item)
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

    async def _send_again(self, items: Sequence[pb.StartCheckout]) -> Sequence[pb.StartCheckoutResult]:
        wait_ms = again_wait_ms([item.call.timeout_ms for item in items])
        for item in items:
            item.wait_ms = wait_ms
        return await self._send(items)


def again_wait_ms(timeouts_ms: Sequence[int]) -> int:
    """Return how many milliseconds a batch of those who ask again may wait, given the time that each has left; 0: any time.

    One reply brings all answers, so it must be there before the time of the first of them is over.
    """
    least = min((timeout for timeout in timeouts_ms if timeout), default=AGAIN_WAIT_MS + BACK_MS)
    return max(WAIT_MS, min(AGAIN_WAIT_MS, least - BACK_MS))


def _undecided(result: pb.StartCheckoutResult) -> bool:
    outcome = result.WhichOneof("outcome")
    return outcome == "pending" or (outcome == "answer" and result.answer.status == pb.PROCESSING)


def _time_left() -> float:
    left = call.current().remaining()
    return math.inf if left is None else left
