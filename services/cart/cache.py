"""The cart cache: a value is only ever stored by a reader, and never across a write.

A writer announces itself with a token before it changes the document, and only deletes; a reader that misses gets a lease,
and its fill is refused once a writer has come by. While the cache is away carts are read from MongoDB.
"""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.cart.domain import Cart
from services.chassis.resilience import CircuitBreaker
from services.chassis.telemetry import Metrics
from services.errors import Unavailable

OPERATION_SECONDS = 0.05
VALUE_MS = 300_000
DOUBTFUL_VALUE_MS = 10_000  # bounds how stale a value can be that was stored while writers could not be seen
TOKEN_MS = 5000  # longer than a write may take
LEASE_MS = 5000
DOUBT_SECONDS = 10.0


class RedisCache:
    """Fits the port Cache."""

    def __init__(self, url: str, metrics: Metrics) -> None:
        self._redis: Any = Redis.from_url(
            url, socket_timeout=OPERATION_SECONDS, socket_connect_timeout=OPERATION_SECONDS, decode_responses=True
        )
        self._script = self._redis.register_script((Path(__file__).parent / "cache.lua").read_text())
        self._breaker = CircuitBreaker("redis", metrics)
        outcomes = metrics.counter("cartwright_cart_cache_total", "What the cart cache did.", ("outcome",))
        self._count = {
            name: outcomes.labels(name)
            for name in ("hit", "miss", "bypass", "fill", "fill_refused", "error", "write_unseen")
        }
        self._doubt_until = 0.0
        self._forgetting: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connections."""
        for task in self._forgetting:
            task.cancel()
        await self._redis.aclose()

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        return "failing" if self._breaker.is_open or self._in_doubt() else "ok"

    async def read(self, user_id: int) -> tuple[Cart | None, str]:
        """Give the cached cart, or a lease to fill it, or neither."""
        lease = secrets.token_hex(8)
        answer = await self._run(user_id, "read", lease, LEASE_MS)
        if answer is None:
            return None, ""
        self._count[answer[0]].inc()
        if answer[0] == "hit":
            return msgspec.json.decode(answer[1], type=Cart), ""
        return None, lease if answer[0] == "miss" else ""

    async def fill(self, cart: Cart, lease: str) -> None:
        """Store what was read, if the lease still holds."""
        life = DOUBTFUL_VALUE_MS if self._in_doubt() else VALUE_MS
        text = msgspec.json.encode(cart).decode()
        done = await self._run(cart.user_id, "fill", lease, text, cart.version, life)
        if done is not None:
            self._count["fill" if done else "fill_refused"].inc()

    async def begin_write(self, user_id: int) -> str:
        """Keep readers off the value."""
        token = secrets.token_hex(8)
        return token if await self._run(user_id, "begin", token, TOKEN_MS) else ""

    async def end_write(self, user_id: int, token: str) -> bool:
        """Let readers in again, on no value."""
        done = await self._run(user_id, "end", token)
        if not done and not token:
            self._count["write_unseen"].inc()
        return bool(done)

    async def forget(self, user_id: int) -> None:
        """Delete the value until the cache has taken it, for as long as a doubtful value may live."""
        task = asyncio.create_task(self._forget(user_id))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget(self, user_id: int) -> None:
        ends_at = asyncio.get_running_loop().time() + DOUBT_SECONDS
        while asyncio.get_running_loop().time() < ends_at:
            if await self._run(user_id, "end", ""):
                return
            await asyncio.sleep(0.25)

    def _in_doubt(self) -> bool:
        return asyncio.get_running_loop().time() < self._doubt_until

    async def _run(self, user_id: int, *arguments: str | int) -> Any:
        """Run the script; None when the cache is away."""
        key = f"cart:{user_id}"
        try:
            self._breaker.admit()
        except Unavailable:
            self._count["error"].inc()
            return None
        ok = False
        try:
            async with asyncio.timeout(OPERATION_SECONDS):
                answer = await self._script(keys=[key, f"{key}:w", f"{key}:l"], args=list(arguments))
            ok = True
        except (RedisError, OSError, TimeoutError):
            self._count["error"].inc()
            self._doubt_until = asyncio.get_running_loop().time() + DOUBT_SECONDS
            return None
        finally:
            self._breaker.record(ok=ok)
        return answer
