"""A statement for many items, which ride together: what is asked for while one runs goes out in the next one.

One statement is one round trip and one commit, however many items it has.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from services.chassis.batch import Batcher, Limits
from services.chassis.longest_first import LongestFirst
from services.chassis.telemetry import Metrics
from services.errors import Fault

I = TypeVar("I")  # noqa: E741 - an item
O = TypeVar("O")  # noqa: E741 - an outcome

LIMITS = Limits(under_way=2)
"""While one statement waits for the disk the next can be on its way."""


class BatchedStatement(Generic[I, O]):
    """Runs a statement for the items of concurrent callers, and gives each its own outcome."""

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[I]], Awaitable[Sequence[O | Exception]]],
        metrics: Metrics,
        *,
        limits: Limits = LIMITS,
        key: Callable[[I], Hashable] | None = None,
        stamp: Callable[[I], I] | None = None,
        turns: LongestFirst | None = None,
    ) -> None:
        """Take a name for the metrics and what runs the statement. Two items of one `key` never run at once, nor together.

        `stamp` returns an item with the ids of the request under way, where it holds such. With `turns` it takes turns with
        what else has the same.

        `run` must take effect for all of its items or for none, as one statement or one transaction does.
        """
        self._run = run
        self._batcher: Batcher[I, O] = Batcher(
            name, self._send, metrics, limits=limits, key=key, stamp=stamp, turns=turns
        )

    async def __call__(self, item: I) -> O:
        """Run the statement for an item. Unavailable: it did not take effect. OutcomeUnknown: it may have."""
        return await self._batcher.ask(item)

    async def _send(self, items: Sequence[I]) -> Sequence[O | Exception]:
        try:
            return await self._run(items)
        except Fault:
            raise
        except Exception:
            if len(items) == 1:
                raise
        # PostgreSQL or its driver refuses one of the items, and nothing took effect: each gets a statement of its own.
        return [await self._alone(item) for item in items]

    async def _alone(self, item: I) -> O | Exception:
        try:
            return (await self._run([item]))[0]
        except Exception as error:  # noqa: BLE001 - the outcome of this item, raised to whoever asked
            return error
