"""The cart cache: a value is only ever stored by a reader, and never across a write.

A writer announces itself with a token before it changes the document, and only deletes; a reader that misses gets a lease, and its
fill is refused once a writer has come by. What others put under our keys is a miss, is deleted and counted. While the cache is
away carts are read from MongoDB, and written unseen: so no value is trusted for longer than `FRESH_MS`, which bounds what a reader
can miss whatever fails.

Every operation takes the carts of many users and costs one round trip for all of them. A value that is there is read without the
script: it is only ever stored while no write is under way, and a write deletes it before it begins.
"""

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from redis.exceptions import NoScriptError, RedisError, ResponseError

from services.cart.changes import Lease, Token
from services.cart.domain import Cart
from services.cart.pipeline import Pipeline, pack
from services.chassis import tracing
from services.chassis.resilience import BreakerPolicy, CircuitBreaker
from services.chassis.telemetry import Metrics
from services.errors import Unavailable

OPERATION_SECONDS = 0.05
MOST_DECODED = 4096
"""How many values are kept decoded. A page asks for the same cart again and again, and the same bytes are the same cart."""
VALUE_MS = 300_000  # how long a value stays to be looked at
FRESH_MS = 10_000  # how long it is trusted
TOKEN_MS = 5000  # longer than a write may take, see changes.CHANGE_SECONDS
LEASE_MS = 5000
MOST_NUMBER = 2**63 - 1  # of an id, a version or a quantity
BEGIN_SECONDS = 0.4  # a cart has half a second
LEAST_BEGINS = 2  # after a stall of this process the first reply is late, whatever Redis did
BEGIN_PAUSE = 0.01
FORGET_PAUSE = 0.25
# Quicker to open than others: carts are served without the cache, but wait for it while it may be there.
POLICY = BreakerPolicy(window=1.0, min_calls=5, silence=0.25)

_DECODER = msgspec.json.Decoder(Cart)

Answer: TypeAlias = tuple[bytes, bytes]
"""What the script did, and the value where it read one."""


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
        self._pipeline = Pipeline(url, within=within)
        self._script = (Path(__file__).parent / "cache.lua").read_bytes()
        self._digest = hashlib.sha1(self._script, usedforsecurity=False).hexdigest().encode()
        self._token_ms = b"%d" % token_ms
        self._least_life_ms = VALUE_MS - fresh_ms
        self._cart = lru_cache(MOST_DECODED)(_decoded)
        self._encode = msgspec.json.Encoder().encode
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
        await self._pipeline.close()

    async def ready(self) -> str:
        """Say `ok`, or what is wrong, for a readiness page."""
        if self._breaker.is_open:
            return "failing"
        try:
            await self._pipeline.ping()
        except (RedisError, OSError, TimeoutError):
            return "does not answer"
        return "ok"

    async def read(self, user_ids: Sequence[int]) -> list[Cart | Lease | None]:
        """Return the cart of each user, or a lease to fill it, or neither."""
        replies = await self._exchange("GET cart", [_look(user_id) for user_id in user_ids], replies=2 * len(user_ids))
        if replies is None:
            self._count["error"].inc(len(user_ids))
            return [None] * len(user_ids)
        found: list[Cart | Lease | None] = []
        missed: list[int] = []  # positions
        foreign: list[int] = []  # users
        for position, user_id in enumerate(user_ids):
            life, value = replies[2 * position], replies[2 * position + 1]
            cart = None
            # A life or a value that is an error is of a key that has another type; the script deletes it.
            if type(value) is not bytes or type(life) is not int or not self._least_life_ms <= life <= VALUE_MS:
                missed.append(position)
            elif (cart := self._cart(value, user_id)) is None:
                foreign.append(user_id)
            found.append(cart)
        self._count["hit"].inc(len(user_ids) - len(missed) - len(foreign))
        if missed:
            await self._miss(user_ids, missed, found, foreign)
        if foreign:
            self._count["foreign"].inc(len(foreign))
            await self.end_writes([(user_id, None) for user_id in foreign])
        return found

    async def _miss(
        self, user_ids: Sequence[int], missed: Sequence[int], found: list[Cart | Lease | None], foreign: list[int]
    ) -> None:
        """Take a lease where there is no value; the script says where there may be none, because of a write."""
        leases = [Lease(secrets.token_hex(8)) for _ in missed]
        limits = (b"%d" % LEASE_MS, b"%d" % self._least_life_ms, b"%d" % VALUE_MS)
        calls = [
            (user_ids[position], (lease.id.encode(), *limits)) for position, lease in zip(missed, leases, strict=True)
        ]
        for position, lease, answer in zip(missed, leases, await self._run(b"read", calls), strict=True):
            if answer is None:
                continue
            outcome, value = answer
            if outcome != b"hit":
                self._count[outcome.decode()].inc()
                found[position] = lease if outcome == b"miss" else None
            elif (cart := self._cart(value, user_ids[position])) is None:
                foreign.append(user_ids[position])
            else:
                self._count["hit"].inc()
                found[position] = cart

    async def fill(self, fills: Sequence[tuple[Cart, Lease]]) -> None:
        """Store the carts whose lease still holds."""
        life = b"%d" % VALUE_MS
        calls = [
            (cart.user_id, (lease.id.encode(), self._encode(cart), b"%d" % cart.version, life)) for cart, lease in fills
        ]
        for answer in await self._run(b"fill", calls):
            if answer is not None:
                self._count[answer[0].decode()].inc()

    async def begin_writes(self, user_ids: Sequence[int]) -> list[Token | Unavailable | None]:
        """Keep readers off the values. None: the cache is known to be away. Unavailable: that is not certain."""
        begun: list[Token | Unavailable | None] = [None] * len(user_ids)
        left = list(range(len(user_ids)))
        tokens = [Token(secrets.token_hex(8)) for _ in user_ids]
        ends_at = asyncio.get_running_loop().time() + BEGIN_SECONDS
        for attempt in itertools.count(1):
            answers = await self._run(b"begin", [(user_ids[one], (tokens[one].id.encode(),)) for one in left])
            for one, answer in zip(left, answers, strict=True):
                if answer is not None:
                    begun[one] = tokens[one]
            left = [one for one in left if begun[one] is None]
            if not left:
                break
            if self._breaker.is_open:
                self._count["write_unseen"].inc(len(left))
                break
            if attempt >= LEAST_BEGINS and asyncio.get_running_loop().time() > ends_at:
                for one in left:
                    begun[one] = Unavailable("the carts are unavailable", retry_after=1)
                break
            await asyncio.sleep(BEGIN_PAUSE)
        return begun

    async def end_writes(self, writes: Sequence[tuple[int, Token | None]]) -> None:
        """Let readers in again, on no value. Where Redis does not answer, the deletion is repeated in the background."""
        answers = await self._run(
            b"end", [(user_id, (token.id.encode() if token else b"",)) for user_id, token in writes]
        )
        left = [user_id for (user_id, _), answer in zip(writes, answers, strict=True) if answer is None]
        if left:
            task = asyncio.create_task(self._forget(left))
            self._forgetting.add(task)
            task.add_done_callback(self._forgetting.discard)

    async def _forget(self, user_ids: Sequence[int]) -> None:
        """Delete values, for as long as one may be trusted."""
        ends_at = asyncio.get_running_loop().time() + FRESH_MS / 1000
        while True:
            answers = await self._run(b"end", [(user_id, (b"",)) for user_id in user_ids])
            user_ids = [user_id for user_id, answer in zip(user_ids, answers, strict=True) if answer is None]
            if not user_ids or asyncio.get_running_loop().time() > ends_at:
                return
            await asyncio.sleep(FORGET_PAUSE)

    async def _run(self, operation: bytes, calls: Sequence[tuple[int, tuple[bytes, ...]]]) -> list[Answer | None]:
        """Run the script for each (user, arguments). None for a user for whom it could not be run."""
        if not calls:
            return []
        evalsha = [self._call(b"EVALSHA", self._digest, operation, call) for call in calls]
        replies = await self._exchange(f"EVALSHA cart {operation.decode()}", evalsha, replies=len(calls))
        if replies is None:
            self._count["error"].inc(len(calls))
            return [None] * len(calls)
        # A Redis that was restarted does not know the script: it is sent along, and known from then on.
        unknown = [position for position, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            evals = [self._call(b"EVAL", self._script, operation, calls[position]) for position in unknown]
            again = await self._exchange("EVAL cart", evals, replies=len(evals)) or [None] * len(evals)
            replies = list(replies)
            for position, reply in zip(unknown, again, strict=True):
                replies[position] = reply
        return [self._answer(reply) for reply in replies]

    def _call(self, command: bytes, script: bytes, operation: bytes, call: tuple[int, tuple[bytes, ...]]) -> bytes:
        key = b"cart:%d" % call[0]
        return pack(command, script, b"3", key, key + b":w", key + b":l", operation, self._token_ms, *call[1])

    def _answer(self, reply: Any) -> Answer | None:
        if reply is None or isinstance(reply, ResponseError):
            self._count["error"].inc()
            return None
        outcome, value, foreign = reply
        if foreign:
            self._count["foreign"].inc(foreign)
        return outcome, value

    async def _exchange(self, name: str, commands: Sequence[bytes], *, replies: int) -> Sequence[Any] | None:
        """Make one round trip, `name` in traces; None where Redis does not answer. It is one call to the breaker.

        Only what is about Redis as a whole moves the breaker: no connection, no answer in time, and its own words for an
        outage, such as LOADING, OOM, READONLY, BUSY or NOPERM. What it says about the keys of one cart does not.
        """
        try:
            self._breaker.admit()
        except Unavailable:
            return None
        ok: bool | None = None
        try:
            with tracing.span(name, tracing.Kind.CLIENT) as span:
                span.set("db.system.name", "redis")
                answers = await self._pipeline.send(commands, replies=replies)
        except (RedisError, OSError, TimeoutError):
            ok = False
            return None
        else:
            ok = not any(isinstance(answer, ResponseError) and _is_outage(answer) for answer in answers)
            return answers
        finally:
            if ok is None:
                self._breaker.abandon()
            else:
                self._breaker.record(ok=ok)


def _decoded(value: bytes, user_id: int) -> Cart | None:
    """Return the cart in a cached value; None where it is not one that we wrote for this user."""
    try:
        cart = _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # not of our making, or of another version's
        return None
    if cart.user_id != user_id or not 0 <= cart.version <= MOST_NUMBER:
        return None
    for line in cart.lines:
        if not (0 < line.product_id <= MOST_NUMBER and 0 <= line.quantity <= MOST_NUMBER):
            return None
    return cart


def _look(user_id: int) -> bytes:
    """Pack the commands for how long a value lives and for the value; in this order, as the value may be a newer one, never an older."""
    key = b"cart:%d" % user_id
    size = len(key)
    return b"*2\r\n$4\r\nPTTL\r\n$%d\r\n%b\r\n*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (size, key, size, key)


def _is_outage(error: ResponseError) -> bool:
    """Whether Redis complains about itself, and not about what lies under the keys of one cart.

    Only two complaints can come from there: a key of another type, and a value that the script's Lua cannot work with.
    Everything else but an unknown script is an outage, so that carts are served without the cache and no write waits for it.
    """
    if isinstance(error, NoScriptError):
        return False
    text = str(error)
    return "WRONGTYPE" not in text and "attempt to" not in text
