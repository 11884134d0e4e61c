"""One method of a service, whose items ride together: what is asked for while a call is under way goes out in the next one.

A batch is one RPC, so one hop, one decoding and one statement behind it serve many requests.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from services.chassis.batch import Batcher, Limits
from services.chassis.client import Endpoint, method_name, outcomes, stamped
from services.chassis.longest_first import LongestFirst
from services.chassis.postgres import forbid_in_transaction
from services.chassis.resilience import Retrier
from services.errors import Fault

V = TypeVar("V")

LIMITS = Limits(under_way=2)
"""While one batch is on its way back the next can be on its way there."""


class BatchedCall(Generic[V]):
    """Sends items to a method of a service, and gives each its own result."""

    def __init__(
        self,
        endpoint: Endpoint,
        method: Any,
        request: Callable[..., Any],
        value: Callable[[Any], V],
        *,
        within: float,
        limits: Limits = LIMITS,
        key: Callable[[Any], Hashable] | None = None,
        owner: Callable[[Any], Hashable] | None = None,
        retry: Retrier | None = None,
        turns: LongestFirst | None = None,
    ) -> None:
        """Take a stub's `method`, the type of its request, and what of a result is its value.

        A call takes at most `within` seconds. Two items of one `key` are never under way at once, and keep their order.
        While more items wait than a call holds, their owners take turns. With `retry` a call that was not
        answered is sent again; only what is safe to repeat may have it. The refusal of an item is an answer. With `turns` it
        takes turns with what else has the same.
        """
        self._endpoint = endpoint
        self._method = method
        self._request = request
        self._value = value
        self._within = within
        self._retry = retry
        name = f"{endpoint.name}.{method_name(method)}"
        self._batcher: Batcher[Any, V] = Batcher(
            name, self._send, endpoint.metrics, limits=limits, key=key, owner=owner, stamp=stamped, turns=turns
        )

    async def __call__(self, item: Any) -> V:
        """Send an item with the next batch. Returns its value, or raises the fault that its refusal stands for.

        Unavailable: it was not sent, or not done. OutcomeUnknown: no answer came, it may have been done.
        """
        forbid_in_transaction(self._endpoint.name)
        return await self._batcher.ask(item)

    async def _send(self, items: Sequence[Any]) -> Sequence[V | Fault]:
        if self._retry is None:
            return await self._call(items)
        return await self._retry(lambda: self._call(items))

    async def _call(self, items: Sequence[Any]) -> Sequence[V | Fault]:
        reply = await self._endpoint.send(self._method, self._request(items=items), within=self._within)
        return outcomes(reply.results, self._value, expected=len(items))
