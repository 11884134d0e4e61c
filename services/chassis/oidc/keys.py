"""Caches the issuer's keys. One request fetches them for all others, and no key is used for longer than an hour.

Nothing runs in the background. A request, or a call of /ready, that finds the keys older than 5 minutes starts a fetch and
does not wait for it. A request waits only if there is no key that may still be used, or if the key that it needs is missing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.chassis.logs import Logger
from services.chassis.oidc.issuer import IssuerUnavailable
from services.chassis.oidc.jwks import KeySet
from services.chassis.resilience import Clock
from services.chassis.telemetry import Metrics
from services.error_codes import ErrorCode
from services.errors import Unavailable

REFRESH_SECONDS = 300.0  # a key that the issuer withdraws is used for so long if the issuer answers
MAX_AGE_SECONDS = 3600.0  # and for so long if it does not
MIN_INTERVAL_SECONDS = 5.0  # between two fetches, so that tokens with unknown keys do not become requests to the issuer


class Keys:
    """The keys of one issuer. `fetch` returns those that it publishes now."""

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
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def current(self) -> KeySet:
        """Return keys that may be used. Raises Unavailable if there are none, because the issuer does not answer."""
        age = self._age()
        if age >= MAX_AGE_SECONDS:
            await self._wait_for_fetch()
            if self._age() >= MAX_AGE_SECONDS:
                raise self._unavailable()
        elif age >= REFRESH_SECONDS:
            self.start_fetch()
        return self._keys

    async def fetch_newer(self, than: KeySet) -> KeySet:
        """Return keys that were fetched after `than`, or `than` itself if those were fetched within the last seconds.

        Raises Unavailable if the issuer does not answer: it is not known then which keys it has.
        """
        if self._keys is than:
            await self._wait_for_fetch()
        if self._failed:
            raise self._unavailable()
        return self._keys

    def start_fetch(self) -> None:
        """Start to fetch the keys, unless that was done within the last seconds. Does not wait."""
        if self._fetching is None and self._clock() >= self._next_at:
            self._fetching = asyncio.create_task(self._fetch_and_keep())

    async def ready(self) -> str:
        """Return `ok`, or what is wrong, for the readiness page."""
        age = self._age()
        if age >= REFRESH_SECONDS:
            self.start_fetch()
        if not self._failed:
            return "ok" if self._keys else "not asked yet"
        left = MAX_AGE_SECONDS - age
        return f"unreachable; its keys count for another {left:.0f} s" if left > 0 else "unreachable"

    async def close(self) -> None:
        """Cancel a fetch that is running."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def _wait_for_fetch(self) -> None:
        """Wait for the running fetch, or for a new one. A caller that is cancelled does not cancel it for the others."""
        self.start_fetch()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    async def _fetch_and_keep(self) -> None:
        asked_at = self._clock()
        outcome = "failed"
        try:
            self._keys, self._fetched_at = await self._fetch(), asked_at
            self._failed, outcome = False, "ok"
        except IssuerUnavailable as error:
            self._failed = True
            self._log.warning("the issuer's keys cannot be had", error=str(error), age=self._age())
        finally:
            self._next_at = self._clock() + MIN_INTERVAL_SECONDS
            self._fetching = None
            self._took.labels("issuer", "keys", outcome).observe(self._clock() - asked_at)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _unavailable(self) -> Unavailable:
        left = max(1.0, self._next_at - self._clock())
        return Unavailable(
            "tokens cannot be checked now; try again", retry_after=left, code=ErrorCode.TOKEN_CHECK_UNAVAILABLE
        )
