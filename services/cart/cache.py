"""The cart cache: a value is only ever stored by a reader, and never across a write.

A writer announces itself with a token before it changes the document, and only deletes; a reader that misses gets a lease,
and its fill is refused once a writer has come by. What others put under our keys is a miss, is deleted and counted. While the cache is away carts are read from MongoDB, and written unseen:
so no value is trusted for longer than `FRESH_MS`, which bounds what a reader can miss whatever fails.
"""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from services.cart.domain import Cart
from services.chassis.resilience import BreakerPolicy, CircuitBreaker
from services.chassis.telemetry import Metrics
from services.errors import Unavailable

OPERATION_SECONDS = 0.05
VALUE_MS = 300_000  # how long a value stays to be looked at
FRESH_MS = 10_000  # how long it is trusted
TOKEN_MS = 5000  # longer than a write may take, see usecases.CHANGE_SECONDS
LEASE_MS = 5000
MOST_NUMBER = 2**63 - 1  # of an id, a version or a quantity
BEGIN_SECONDS = 0.4  # a cart has half a second
BEGIN_PAUSE = 0.01
FORGET_PAUSE = 0.25
# Quicker to open than others: carts are served without the cache, but wait for it while it may be there.
POLICY = BreakerPolicy(window=1.0, min_calls=5, silence=0.25)


class RedisCache:
    """Fits the port Cache."""

    def __init__(
        self,
        url: str,
        metrics: Metrics,
        *,
        token_ms: int = TOKEN_MS,
        fresh_ms: int = FRESH_MS,
        within: float = OPERATION_SECONDS,
    ) -> None:
        # Answers stay bytes: what others put under our keys need not be text.
        self._redis: Any = Redis.from_url(url, socket_timeout=within, socket_connect_timeout=within)
        self._within = within
        self._script = self._redis.register_script((Path(__file__).parent / "cache.lua").read_text())
        self._token_ms = token_ms
        self._least_life_ms = VALUE_MS - fresh_ms
        self._breaker = CircuitBreaker("redis", metrics, POLICY)
        outcomes = metrics.counter("cartwright_cart_cache_total", "What the cart cache did.", ("outcome",))
        self._count = {
            name: outcomes.labels(name)
            for name in ("hit", "miss", "bypass", "fill", "fill_refused", "error", "foreign", "write_unseen")
        }
        self._forgetting: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connections."""
        for task in self._forgetting:
            task.cancel()
        await self._redis.aclose()

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        if self._breaker.is_open:
            return "failing"
        try:
            async with asyncio.timeout(self._within):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            return "does not answer"
        return "ok"

    async def read(self, user_id: int) -> tuple[Cart | None, str]:
        """Give the cached cart, or a lease to fill it, or neither."""
        lease = secrets.token_hex(8)
        answer = await self._run(user_id, "read", lease, LEASE_MS, self._least_life_ms, VALUE_MS)
        if answer is None:
            return None, ""
        outcome, value = answer
        if outcome != "hit":
            self._count[outcome].inc()
            return None, lease if outcome == "miss" else ""
        cart = _read(value, user_id)
        if cart is None:
            self._count["foreign"].inc()
            await self.end_write(user_id, "")
            return None, ""
        self._count["hit"].inc()
        return cart, ""

    async def fill(self, cart: Cart, lease: str) -> None:
        """Store what was read, if the lease still holds."""
        answer = await self._run(cart.user_id, "fill", lease, msgspec.json.encode(cart), cart.version, VALUE_MS)
        if answer is not None:
            self._count[answer[0]].inc()

    async def begin_write(self, user_id: int) -> str:
        """Keep readers off the value; empty once the cache is known to be away, Unavailable while that is open."""
        token = secrets.token_hex(8)
        ends_at = asyncio.get_running_loop().time() + BEGIN_SECONDS
        while not await self._run(user_id, "begin", token):
            if self._breaker.is_open:
                self._count["write_unseen"].inc()
                return ""
            if asyncio.get_running_loop().time() > ends_at:
                raise Unavailable("the carts are unavailable", retry_after=1)
            await asyncio.sleep(BEGIN_PAUSE)
        return token

    async def end_write(self, user_id: int, token: str) -> None:
        """Let readers in again, on no value. Where Redis does not answer, the deletion is repeated in the background."""
        if not await self._run(user_id, "end", token):
            await self.forget(user_id)

    async def forget(self, user_id: int) -> None:
        """Delete the value in the background, for as long as one may be trusted."""
        task = asyncio.create_task(self._forget(user_id))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget(self, user_id: int) -> None:
        ends_at = asyncio.get_running_loop().time() + FRESH_MS / 1000
        while not await self._run(user_id, "end", ""):
            if asyncio.get_running_loop().time() > ends_at:
                return
            await asyncio.sleep(FORGET_PAUSE)

    async def _run(self, user_id: int, operation: str, *arguments: str | bytes | int) -> tuple[str, bytes] | None:
        """Run the script and give what happened with the value; None where it could not be run.

        Only what is about Redis as a whole moves the breaker: no connection, no answer in time, and its own words for an
        outage, such as LOADING, OOM, READONLY, BUSY or NOPERM. What it says about the keys of one cart does not.
        """
        key = f"cart:{user_id}"
        try:
            self._breaker.admit()
        except Unavailable:
            self._count["error"].inc()
            return None
        tell_breaker: Callable[[], None] = self._breaker.abandon
        try:
            async with asyncio.timeout(self._within):
                outcome, value, foreign = await self._script(
                    keys=[key, f"{key}:w", f"{key}:l"], args=[operation, self._token_ms, *arguments]
                )
        except ResponseError as error:
            self._count["error"].inc()
            tell_breaker = partial(self._breaker.record, ok=_is_about_one_cart(error))
            return None
        except (RedisError, OSError, TimeoutError):
            self._count["error"].inc()
            tell_breaker = partial(self._breaker.record, ok=False)
            return None
        else:
            tell_breaker = partial(self._breaker.record, ok=True)
        finally:
            tell_breaker()
        if foreign:
            self._count["foreign"].inc(foreign)
        return outcome.decode(), value


def _is_about_one_cart(error: ResponseError) -> bool:
    """Whether Redis complains about what lies under the keys of one cart, and not about itself.

    Only two complaints can come from there: a key of another type, and a value that the script's Lua cannot work with.
    Everything else is an outage, so that carts are served without the cache and no write waits for it.
    """
    text = str(error)
    return "WRONGTYPE" in text or "attempt to" in text


def _read(value: bytes, user_id: int) -> Cart | None:
    """Give the cart in a cached value; None where it is not one that we wrote for this user."""
    try:
        cart = msgspec.json.decode(value, type=Cart)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # not of our making, or of another version's
        return None
    ids = (cart.user_id, *(line.product_id for line in cart.lines))
    numbers = (cart.version, *(line.quantity for line in cart.lines))
    if cart.user_id != user_id or not all(0 < one <= MOST_NUMBER for one in ids):
        return None
    return cart if all(0 <= one <= MOST_NUMBER for one in numbers) else None
