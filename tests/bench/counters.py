"""What the stores, the services and the API server of a platform have counted themselves, as one set of numbers.

Nothing is estimated: each number is the difference of two readings. What the clock paces (a relay that looks for events, an
operator that compares) is named in the budget and left out, and the log that is written meanwhile is PostgreSQL's own.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

import asyncpg
import redis
import requests
from aiokafka import AIOKafkaConsumer, TopicPartition

from devstack.table import PARTS
from tests.bench import statements
from tests.bench.mongo_tap import MongoTap
from tests.kube import WRITES
from tests.platforms import OnThisMachine

TOPIC = "checkout-events"
WAL = "wal_bytes"
COMPARE_EVERY = "15"  # the operator's own default
_QUIET_SETTINGS = statements.SETTINGS | {
    "full_page_writes": "off",  # an image of a page is owed to the last checkpoint, not to a purchase
    "autovacuum": "off",  # what it writes comes when it likes
}
_SERVED = re.compile(
    r'^cartwright_request_seconds_count\{code="[^"]*",method="(?P<method>\w+)"\} (?P<count>\S+)', re.MULTILINE
)
_OURS_IN_REDIS = frozenset(
    {
        "info",
        "client",
        "client|setinfo",
        "hello",
        "ping",
        "config",
        "config|get",
        "command",
        "script",
        "script|load",
        "select",
        "auth",
    }
)
_SCRIPTS = frozenset({"eval", "evalsha", "fcall"})
_WRITES = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)", re.MULTILINE)


def served(page: str, part: str) -> Counter[str]:
    """Give how often each gRPC method of a part was answered, from its metrics page."""
    found = Counter[str]()
    for one in _SERVED.finditer(page):
        found[f"rpcs.{part}-{one['method']}"] += int(float(one["count"]))
    return found


def commands(stats: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    """Give how many scripts Redis ran and how many commands, those of a script as well, from its `INFO commandstats`."""
    found = Counter[str]()
    for name, stat in stats.items():
        command = name.removeprefix("cmdstat_")
        if command not in _OURS_IN_REDIS:
            found["redis.scripts" if command in _SCRIPTS else "redis.commands"] += int(stat["calls"])
    return found


def api_writes(page: str) -> Counter[str]:
    """Give how often Checkouts and events were written, by verb, from the API server's metrics; deletions are left out.

    Deletions come when a resource's time is over, long after the purchase.
    """
    found = Counter[str]()
    for one in _WRITES.finditer(page):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', one["labels"]))
        if labels.get("resource") in {"checkouts", "events"} and labels["verb"] in WRITES - {"DELETE"}:
            found[f"api.{labels['resource']}-{labels['verb']}"] += int(float(one["count"]))
    return found


class Counters:
    """Reads the counters of a platform on this machine.

    Meanwhile its cart service speaks to MongoDB through a tap, and its operator puts its full comparison off: that asks
    for a checkout as a user does, and could not be told from one. Its auditor, which reads every store by the clock, rests.
    """

    def __init__(
        self, platform: OnThisMachine, is_background: Callable[[str], bool], background_rpcs: Collection[str]
    ) -> None:
        self._platform = platform
        self._rpcs = background_rpcs
        self._tally = statements.Tally(is_background)
        self._log = platform.stack.home.log("postgres")
        self._position = 0
        self._rest = ""
        self._tap: MongoTap

    def __enter__(self) -> Self:
        host, port = self._platform.urls["MONGODB_URL"].rpartition("/")[2].split(":")
        self._tap = MongoTap(host, int(port)).__enter__()
        tapped = {"MONGODB_URL": f"mongodb://127.0.0.1:{self._tap.port}"}
        self._restart({"cart": tapped, "cart-consumer": tapped, "operator": {"COMPARE_EVERY": "3600"}})
        self._platform.stack.stop("auditor")
        self._set(_QUIET_SETTINGS)
        self._position = self._log.stat().st_size
        return self

    def __exit__(self, *_: object) -> None:
        self._set(dict.fromkeys(_QUIET_SETTINGS))
        straight = {"MONGODB_URL": self._platform.urls["MONGODB_URL"]}
        self._restart({"cart": straight, "cart-consumer": straight, "operator": {"COMPARE_EVERY": COMPARE_EVERY}})
        self._tap.__exit__()
        self._platform.stack.start("auditor")

    @property
    def seen(self) -> Counter[str]:
        """How often each statement that counts was sent."""
        self._read_log()
        return Counter(self._tally.seen)

    def read(self) -> Counter[str]:
        """Give every counter, as it stands."""
        stack, found = self._platform.stack, Counter[str]()
        rows = {row["name"]: row for row in stack.rows()}
        for part in PARTS.values():
            if part.migrates:
                found += served(_page(rows[part.name]["ports"][-1]), part.name)
        for name in [name for name in found if name.partition("-")[2] in self._rpcs]:
            del found[name]
        found += commands(self._redis())
        found += Counter({f"mongodb.{name}": count for name, count in self._tap.counts.items()})
        found["kafka.events"] = asyncio.run(self._events())
        kube = self._platform.kube()
        found += api_writes(kube.session.get(kube.url + "/metrics", timeout=30).text)
        found[WAL] = self._wal()
        self._read_log()
        return found + self._tally.counts

    def settled(self, quiet: float, most: float = 30.0) -> Counter[str]:
        """Give the counters once none but the WAL's has moved for `quiet` seconds."""
        ends_at = time.monotonic() + most
        before, since = self.read(), time.monotonic()
        while time.monotonic() - since < quiet:
            assert time.monotonic() < ends_at, f"the platform is not quiet after {most} s"
            time.sleep(0.1)
            after = self.read()
            if without_wal(after) != without_wal(before):
                before, since = after, time.monotonic()
        return after

    def _read_log(self) -> None:
        with self._log.open(errors="replace") as log:
            log.seek(self._position)
            text = self._rest + log.read()
            self._position = log.tell()
        whole, newline, self._rest = text.rpartition("\n")
        for statement in statements.parse((whole + newline).splitlines(keepends=True)):
            self._tally.add(statement)

    def _restart(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        """Start parts again with settings of their own."""
        for part, env in settings.items():
            self._platform.stack.stop(part)
            self._platform.stack.start(part, env)
        self._platform.stack.wait_ready(*settings)

    def _redis(self) -> dict[str, Any]:
        with redis.Redis.from_url(self._platform.urls["REDIS_URL"]) as client:
            return dict(client.info("commandstats"))

    async def _events(self) -> int:
        consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=self._platform.urls["KAFKA_BOOTSTRAP_SERVERS"])
        await consumer.start()
        try:
            partitions = [TopicPartition(TOPIC, number) for number in consumer.partitions_for_topic(TOPIC) or ()]
            return sum((await consumer.end_offsets(partitions)).values())
        finally:
            await consumer.stop()

    def _wal(self) -> int:
        return int(self._platform.sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bytes")[0]["bytes"])

    def _set(self, settings: dict[str, Any]) -> None:
        async def set_all() -> None:
            connection = await asyncpg.connect(self._platform.urls["POSTGRES_URL"])
            for name, value in settings.items():
                await connection.execute(
                    f"ALTER SYSTEM RESET {name}" if value is None else f"ALTER SYSTEM SET {name} = '{value}'"
                )
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()

        asyncio.run(set_all())


def without_wal(counts: Counter[str]) -> Counter[str]:
    """Leave out what also moves while nobody does anything."""
    return Counter({name: count for name, count in counts.items() if name != WAL})


def _page(port: int) -> str:
    return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
