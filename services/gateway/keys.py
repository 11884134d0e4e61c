"""The issuer's keys as they are kept: fetched by one request for all, seldom, and never believed for longer than an hour.

Nothing runs in the background: a request or a look at /ready that finds the keys older than some minutes has them fetched,
and does not wait. Only who finds none, none that count any more, or not the one it needs, waits.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.chassis.logs import Logger
from services.chassis.resilience import Clock
from services.chassis.telemetry import Metrics
from services.errors import Unavailable
from services.gateway.issuer import IssuerAway
from services.gateway.jwks import KeySet

FRESH_SECONDS = 300.0  # a key that the issuer takes back counts for so long where it answers
MOST_SECONDS = 3600.0  # and for so long where it does not
PAUSE_SECONDS = 5.0  # between two fetches, so that tokens with made-up keys do not become requests to the issuer


class Keys:
    """The keys of one issuer, of which `fetch` gives those of now."""

    def __init__(
        self, fetch: Callable[[], Awaitable[KeySet]], log: Logger, metrics: Metrics, clock: Clock = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._log = log
        self._took = metrics.called
        self._clock = clock
        self._keys: KeySet = ()
        self._fetched_at = float("-inf")
        self._next_at = float("-inf")
        self._away = False
        self._under_way: asyncio.Task[None] | None = None

    async def current(self) -> KeySet:
        """Give keys that count; Unavailable where there are none, because the issuer does not answer."""
        age = self._age()
        if age >= MOST_SECONDS:
            await self._renew()
            if self._age() >= MOST_SECONDS:
                raise self._unavailable()
        elif age >= FRESH_SECONDS:
            self.begin()
        return self._keys

    async def newer(self, than: KeySet) -> KeySet:
        """Give the keys fetched since `than`; `than` itself where those were fetched just now.

        Unavailable where the issuer does not answer: nobody knows then what keys it has.
        """
        if self._keys is than:
            await self._renew()
        if self._away:
            raise self._unavailable()
        return self._keys

    def begin(self) -> None:
        """Have the keys fetched, unless they just were; does not wait."""
        if self._under_way is None and self._clock() >= self._next_at:
            self._under_way = asyncio.create_task(self._renewed())

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        age = self._age()
        if age >= FRESH_SECONDS:
            self.begin()
        if not self._away:
            return "ok" if self._keys else "not asked yet"
        left = MOST_SECONDS - age
        return f"unreachable; its keys count for another {left:.0f} s" if left > 0 else "unreachable"

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait([self._under_way])

    async def _renew(self) -> None:
        """Wait for the fetch that is under way, or for a new one; a caller who leaves does not end it for the others."""
        self.begin()
        if self._under_way is not None:
            await asyncio.shield(self._under_way)

    async def _renewed(self) -> None:
        asked_at = self._clock()
        outcome = "failed"
        try:
            self._keys, self._fetched_at = await self._fetch(), asked_at
            self._away, outcome = False, "ok"
        except IssuerAway as error:
            self._away = True
            self._log.warning("the issuer's keys cannot be had", error=str(error), age=self._age())
        finally:
            self._next_at = self._clock() + PAUSE_SECONDS
            self._under_way = None
            self._took.labels("issuer", "keys", outcome).observe(self._clock() - asked_at)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _unavailable(self) -> Unavailable:
        left = max(1.0, self._next_at - self._clock())
        return Unavailable("tokens cannot be checked now; try again", retry_after=left)
