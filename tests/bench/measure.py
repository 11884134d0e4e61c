"""Runs one load at a time against one target, and reads what each process has used for it."""

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import asyncpg
from rich.console import Console

from devstack.home import ROOT
from tests.bench import generator
from tests.bench.cpu import cpu_seconds, used
from tests.bench.generator import Order
from tests.bench.loads import Load
from tests.bench.results import HELLO, OURS, PEER, Results, Run
from tests.platforms import OnThisMachine

REST_SECONDS = 5.0
QUIET_SECONDS = 30.0
MIRROR_TTL = "5"
"""How many seconds a mirror lives: less than by default, so that its deletion belongs to the load that made it, and not to the next."""
WELL_TIMES = 5
LOAD_SECONDS = 90.0
QUIET_PAUSE = 0.3
_FIRST_USER, _USERS = 2**41, 2**40
_WAITING = """SELECT (SELECT count(*) FROM checkout.outbox_events WHERE processed_at IS NULL AND dead_at IS NULL)
    + (SELECT count(*) FROM checkout.checkout_sessions WHERE status = 'PROCESSING')
    + (SELECT count(*) FROM checkout.checkout_sessions AS s WHERE status = 'COMPLETED' AND completed_at > now() - interval '5 min'
       AND NOT EXISTS (SELECT 1 FROM orders.orders WHERE checkout_id = s.id::text)) AS n"""


class Failed(Exception):
    """A load could not be measured; `str()` says why."""


@contextmanager
def recording_failures(results: Results, console: Console) -> Iterator[None]:
    """Print what ends a bench early and note it in its results, so that what has been measured by then is shown and kept."""
    try:
        yield
    except KeyboardInterrupt:
        results.interrupted = True
    except Failed as error:
        console.print(f"[red]{error}[/]")
        results.failed = results.interrupted = True
    except Exception:  # noqa: BLE001 - any other error counts too, and is printed with its traceback
        console.print_exception()
        results.failed = results.interrupted = True


@contextmanager
def hello() -> Iterator[int]:
    """Run the bare aiohttp server, and give its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.hello"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt from the keyboard is for the bench
    )
    assert process.stdin
    assert process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)


def generate(order: Order) -> dict[str, Any]:
    """Have a generator process do it, and give its result; Failed where it gives none."""
    command = [sys.executable, "-m", "tests.bench.generator"]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            input=generator.written(order),
            capture_output=True,
            text=True,
            timeout=order.seconds + 30,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"the generator did not end: {order}") from error
    if done.returncode:
        raise Failed(f"the generator failed: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class Scales:
    """A running platform, on which loads are weighed."""

    def __init__(self, platform: OnThisMachine, hello_port: int, peer_port: int | None) -> None:
        self.platform = platform
        self._kube = platform.kube()
        self._ports = {OURS: int(platform.urls["CARTWRIGHT_URL"].rpartition(":")[2]), HELLO: hello_port}
        if peer_port:
            self._ports[PEER] = peer_port
        self._idle: dict[str, float] = {}

    @property
    def targets(self) -> tuple[str, ...]:
        """Whom a load is sent to, in this order."""
        return tuple(name for name in (HELLO, OURS, PEER) if name in self._ports)

    def pids(self) -> dict[str, int]:
        """Give the process of each part that runs."""
        return {row["name"]: row["pid"] for row in self.platform.stack.rows() if row["pid"]}

    def rest(self) -> Mapping[str, float]:
        """Measure what each part uses a second while nobody asks; it is taken off what follows."""
        self.quiet()
        before, began = cpu_seconds(self.pids()), time.monotonic()
        time.sleep(REST_SECONDS)
        after, took = cpu_seconds(self.pids()), time.monotonic() - began
        self._idle = {name: seconds / took for name, seconds in used(before, after, {}, took).items()}
        return self._idle

    def quiet(self) -> bool:
        """Wait until no saga runs, no event waits, every purchase is an order and no mirror is left; False if that takes too long."""
        return asyncio.run(self._quiet())

    async def _quiet(self) -> bool:
        ends_at = time.monotonic() + QUIET_SECONDS
        # One connection, asked seldom: to open one costs PostgreSQL as much as several purchases, and would be counted as theirs.
        connection = await asyncpg.connect(self.platform.urls["POSTGRES_URL"])
        try:
            while await connection.fetchval(_WAITING) or self._kube.has_mirrors():
                if time.monotonic() > ends_at:
                    return False
                await asyncio.sleep(QUIET_PAUSE)
        finally:
            await connection.close()
        return True

    def well(self) -> bool:
        """Wait until a user is answered again, as after a load that has opened a breaker; False where that takes too long."""
        ends_at = time.monotonic() + QUIET_SECONDS
        good = 0
        while good < WELL_TIMES:
            shopper = self.platform.shopper()
            body = {"product_id": 1, "quantity": 1}
            answers = [shopper.ask("POST", "/api/v1/cart/items", body), shopper.ask("GET", "/api/v1/cart")]
            good = good + 1 if all(answer.ok for answer in answers) else 0
            if time.monotonic() > ends_at:
                return False
            time.sleep(0.1)
        return True

    def run(self, load: Load, target: str, number: int) -> Run:
        """Run a load once; its round is `number`. Against hello, as many requests for its page over as many connections."""
        if target == HELLO:
            amount = max(1, 10_000 // load.connections)
            order = Order(self._ports[HELLO], "page", load.connections, amount, seconds=LOAD_SECONDS)
            return self._weigh(load, HELLO, number, order, "page", buys=False)
        if target == OURS:
            self.well()
        order = Order(
            self._ports[target],
            load.kind,
            load.connections,
            load.amount,
            user=new_users(),
            seconds=LOAD_SECONDS,
            every=load.every,
            path=load.path,
        )
        if load.kind == "readers":
            generate(Order(order.port, "filler", min(10, load.connections), -(-load.connections // 10), order.user))
        return self._weigh(load, target, number, order, load.unit, buys=load.buys)

    def open_loop(self, name: str, number: int, order: Order) -> tuple[Run, dict[str, Any]]:
        """Run an order of its own, and give the generator's own words as well. It does not wait for what the order left to do."""
        load = Load(name, name, order.kind, order.connections, order.amount, "checkout")
        words = self._words(order, buys=False)
        return _run(load, OURS, number, words, "checkout", int(order.rate * order.seconds)), words

    def port(self) -> int:
        """Give the gateway's port."""
        return self._ports[OURS]

    def _weigh(self, load: Load, target: str, number: int, order: Order, unit: str, *, buys: bool) -> Run:
        words = self._words(order, buys=buys and target == OURS, ours=target == OURS)
        return _run(load, target, number, words, unit, order.connections * order.amount)

    def _words(self, order: Order, *, buys: bool, ours: bool = True) -> dict[str, Any]:
        pids = self.pids() if ours else {}
        before, began = cpu_seconds(pids), time.monotonic()
        words = generate(order)
        if buys:
            words["quiet"] = self.quiet()  # the rest of a purchase belongs to it
        words["used"] = used(before, cpu_seconds(pids), self._idle, time.monotonic() - began)
        return words


def _run(load: Load, target: str, number: int, words: Mapping[str, Any], unit: str, asked: int) -> Run:
    return Run(
        load=load.name,
        target=target,
        round=number,
        seconds=words["seconds"],
        requests=asked,
        good=words["good"],
        not_sent=words["not_sent"],
        ended=words["ended"],
        answers=words["answers"],
        times=words["times"],
        unit=unit,
        cpu=words["used"],
        generator_cpu=words["cpu"],
    )


def new_users() -> int:
    """Give the first of a million users whom nobody has been before, as far as chance allows."""
    return _FIRST_USER + secrets.randbelow(_USERS)
