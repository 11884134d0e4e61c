"""Keeps what the front page shows: samples of the last hour, and how many checkouts ended in each of its minutes."""

import asyncio
from collections.abc import Sequence

from services.console.answers import Answer
from services.console.clients import Services, ask_part
from services.console.history import History
from services.console.measuring import Reader, sample
from services.console.overview import MINUTE_MS, MINUTES, STUCK_MS, Facts, Minutes, Now, overview
from services.console.rendering import now_ms
from services.console.words import PHASES
from services.errors import InternalError, Transient
from services.pb import checkout_admin_pb2, checkout_pb2

MOST_STUCK = 10
KEEP_SECONDS = 1.0
"""Several people who look at the page within this time share its figures."""
RECOUNT_MS = 2 * MINUTE_MS
"""The last minutes are counted again: a checkout is seen a moment after it has ended."""
_RUNNING_STEPS = [step for step in PHASES if step not in {"COMPLETED", "FAILED"}]


class Board:
    """Asks for the figures, and remembers those of the last hour."""

    def __init__(self, services: Services, reader: Reader) -> None:
        self._services = services
        self._reader = reader
        self._history = History()
        self._minutes = Minutes()
        self._counted_to = 0
        self._lock = asyncio.Lock()
        self._kept: tuple[float, Now] | None = None

    async def sample_once(self) -> int:
        """Measure, and keep it. Returns 1, as a round of a worker does."""
        pages, summary = await asyncio.gather(self._reader.pages(), self._summary())
        running = None if summary.value is None else sum(one.count for one in summary.value.running)
        self._history.add(sample(pages, now_ms(), running))
        return 1

    async def now(self) -> Now:
        """Return what is happening now, at most KEEP_SECONDS old."""
        async with self._lock:
            clock = asyncio.get_running_loop().time()
            if self._kept is not None and clock - self._kept[0] < KEEP_SECONDS:
                return self._kept[1]
            found = await self._look()
            self._kept = (clock, found)
            return found

    async def _look(self) -> Now:
        summary, stuck, stock, products = await asyncio.gather(
            self._summary(),
            self._stuck(),
            ask_part("inventory", self._services.stock()),
            ask_part("product", self._services.products()),
        )
        at = summary.value.now_ms if summary.value else now_ms()
        return overview(Facts(summary, self._minutes, stuck, stock, products, at), self._history)

    async def _summary(self) -> Answer[checkout_admin_pb2.SummarizeCheckoutsResponse]:
        """Return the summary, and count what has ended since the last one."""
        since = max(self._counted_to - RECOUNT_MS, now_ms() - MINUTES * MINUTE_MS) // MINUTE_MS * MINUTE_MS
        summary = await ask_part("checkout", self._services.summarize(since))
        if summary.value is not None:
            self._minutes = self._minutes.merged(summary.value.ended, since, summary.value.now_ms)
            self._counted_to = summary.value.now_ms
        return summary

    async def _stuck(self) -> Sequence[checkout_pb2.Checkout]:
        """Return checkouts that have not ended for a while, the newest first."""
        wanted = checkout_admin_pb2.CheckoutFilter(saga_steps=_RUNNING_STEPS, created_before_ms=now_ms() - STUCK_MS)
        try:
            return (await self._services.search(wanted, MOST_STUCK, None)).checkouts
        except (Transient, InternalError):
            return ()  # the page says already that the checkout service does not answer
