"""Redis in memory, as far as the cart's cache uses it: two plain commands and its script, behind the real RedisCache.

The script is `services/cart/cache.lua` told again in Python; the contract suite of the cache holds both to the same promises.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import NoScriptError

from services.cart.cache import FRESH_MS, VALUE_MS
from tests.simulation.faults import BACK, STATEMENTS, THERE, Fault, Kind


class Keys:
    """The data of one Redis."""

    def __init__(self) -> None:
        self.values: dict[bytes, tuple[bytes, int]] = {}
        """Key → (value, when it expires, in milliseconds)."""
        self.writers: dict[bytes, dict[bytes, int]] = {}
        self.scripts = False

    def flush(self, now: int) -> set[int]:
        """Lose all data, as after a restart without persistence. Returns the users of whose cart a write was under way."""
        begun = [key for key, tokens in self.writers.items() if any(until > now for until in tokens.values())]
        self.values.clear()
        self.writers.clear()
        self.scripts = False
        return {int(key.split(b":")[1]) for key in begun}

    def shown(self, user_id: int, now: int) -> int | None:
        """Return the version of the cart that readers are shown; None where they are shown none."""
        key = b"cart:%d" % user_id
        there = self._get(key, now)
        writing = any(until > now for until in self.writers.get(key + b":w", {}).values())
        if there is None or writing or self.values[key][1] - now < VALUE_MS - FRESH_MS:
            return None
        return int(json.loads(there)["version"])

    def run(self, command: Sequence[bytes], now: int) -> Any:
        """Run a command at a time in milliseconds."""
        name = command[0]
        if name == b"GET":
            return self._get(command[1], now)
        if name == b"PTTL":
            there = self._get(command[1], now)
            return -2 if there is None else self.values[command[1]][1] - now
        if name == b"EVALSHA" and not self.scripts:
            return NoScriptError("NOSCRIPT")
        self.scripts = True
        value, writers, lease = command[3:6]
        operation, token_ms, *more = command[6:]
        return self._script(value, writers, lease, operation, int(token_ms), more, now)

    def _get(self, key: bytes, now: int) -> bytes | None:
        there = self.values.get(key)
        if there is None or there[1] <= now:
            return None
        return there[0]

    def _forget(self, *keys: bytes) -> None:
        for key in keys:
            self.values.pop(key, None)

    def _writing(self, value: bytes, writers: bytes, lease: bytes, now: int) -> bool:
        """Return whether a write is under way. A token that has run out belongs to a writer that died: nothing it left is trusted."""
        tokens = self.writers.get(writers, {})
        over = [token for token, until in tokens.items() if until <= now]
        for token in over:
            del tokens[token]
        if over:
            self._forget(value, lease)
        return bool(tokens)

    def _script(
        self, value: bytes, writers: bytes, lease: bytes, operation: bytes, token_ms: int, more: list[bytes], now: int
    ) -> list[Any]:
        if operation == b"read":
            return self._read(value, writers, lease, more, now)
        if operation == b"fill":
            return self._fill(value, writers, lease, more, now)
        self._forget(value, lease)
        if operation == b"begin":
            self.writers.setdefault(writers, {})[more[0]] = now + token_ms
            return [b"begun", b"", 0]
        self.writers.get(writers, {}).pop(more[0], None)
        return [b"ended", b"", 0]

    def _read(self, value: bytes, writers: bytes, lease: bytes, more: list[bytes], now: int) -> list[Any]:
        new_lease, lease_ms, least_life, most_life = more
        if self._writing(value, writers, lease, now):
            return [b"bypass", b"", 0]
        there = self._get(value, now)
        life = self.values[value][1] - now if there is not None else -2
        if life > int(most_life):
            self._forget(value)
        elif life >= int(least_life):
            return [b"hit", there, 0]
        self.values[lease] = (new_lease, now + int(lease_ms))
        return [b"miss", b"", 0]

    def _fill(self, value: bytes, writers: bytes, lease: bytes, more: list[bytes], now: int) -> list[Any]:
        mine, cart, version, life = more
        there = self._get(value, now)
        newer = there is not None and json.loads(there).get("version", 0) > int(version)
        if self._writing(value, writers, lease, now) or self._get(lease, now) != mine or newer:
            return [b"fill_refused", b"", 0]
        self.values[value] = (cart, now + int(life))
        self._forget(lease)
        return [b"fill", b"", 0]


def commands_in(raw: bytes) -> list[list[bytes]]:
    """Read the commands that `services.cart.pipeline.pack` has packed."""
    commands: list[list[bytes]] = []
    position = 0
    while position < len(raw):
        end = raw.index(b"\r\n", position)
        count = int(raw[position + 1 : end])
        position = end + 2
        command: list[bytes] = []
        for _ in range(count):
            end = raw.index(b"\r\n", position)
            length = int(raw[position + 1 : end])
            position = end + 2
            command.append(raw[position : position + length])
            position += length + 2
        commands.append(command)
    return commands


class LocalPipeline:
    """Stands where services.cart.pipeline.Pipeline does, on keys of its own and the real clock, without any fault."""

    def __init__(self) -> None:
        self._keys = Keys()

    async def close(self) -> None:
        """Do nothing."""

    async def send(self, commands: Iterable[bytes], *, replies: int) -> Sequence[Any]:
        """Run commands and return their replies."""
        now = int(time.monotonic() * 1000)
        found = [self._keys.run(command, now) for command in commands_in(b"".join(commands))]
        if len(found) != replies:
            raise AssertionError(f"{replies} replies were expected to {len(found)} commands")
        return found


class SimPipeline:
    """Stands where services.cart.pipeline.Pipeline does, for one process."""

    def __init__(self, world: Any, keys: Keys, *, within: float) -> None:
        self._world = world
        self._keys = keys
        self._within = within
        self._process = world.loop.current

    async def close(self) -> None:
        """Do nothing."""

    async def send(self, commands: Iterable[bytes], *, replies: int) -> Sequence[Any]:
        """Send commands and return their replies; an error of the connection where there are none."""
        world, process = self._world, self._process
        todo = commands_in(b"".join(commands))
        what = todo[0][0] if todo[0][0] in {b"GET", b"PTTL"} else todo[0][6]
        point = f"{process.name} => redis.{what.decode()}"
        fault: Fault | None = world.strike(process, point, STATEMENTS)
        kind, number = fault.kind if fault else None, world.faults.number
        if kind is Kind.REFUSED or world.redis_outage.down:
            raise NoConnection("refused")
        delay = world.faults.latency(point, number, THERE) / 2
        if fault:
            delay += fault.delay(back=False) + (min(fault.after, 3.0) if kind is Kind.LATE else 0.0)
        answer: asyncio.Future[Sequence[Any]] = world.loop.create_future()

        def arrive() -> None:
            now = int(world.loop.now * 1000)
            found = [self._keys.run(command, now) for command in todo]
            world.stored("redis", what.decode())
            if kind is Kind.KILLED_AFTER:
                world.kill(process)
            elif kind is not Kind.REPLY_LOST:
                world.loop.at(process, world.faults.latency(point, number, BACK) / 2, _settle, answer, found)

        if kind not in {Kind.KILLED_BEFORE, Kind.REQUEST_LOST}:
            world.loop.at(world.loop.world, delay, arrive)
        timer = world.loop.call_later(self._within, _too_late, answer)
        try:
            return await answer
        finally:
            timer.cancel()


def _settle(answer: "asyncio.Future[Sequence[Any]]", found: Sequence[Any]) -> None:
    if not answer.done():
        answer.set_result(found)


def _too_late(answer: "asyncio.Future[Sequence[Any]]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
