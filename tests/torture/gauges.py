"""What must not grow while a platform works for long: memory, connections, files, lag, the outbox and the disk. Sampled, told and drawn."""

import asyncio
import math
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

from devstack.client import Stack
from devstack.stores import data_folder
from devstack.table import PARTS, STORES
from tests.bench.plot import lines
from tests.platforms import total
from tests.torture.shop import Shop

MEGABYTE = 1024 * 1024
CONSUMERS = ("cart-consumer", "orders-consumer")
EDGE = 0.1
"""What share of the samples stands for the beginning, and for the end."""


@dataclass
class Gauges:
    """Samples of a platform: seconds since the first one, and the value of each gauge."""

    stack: Stack
    shop: Shop
    samples: list[tuple[float, Mapping[str, float]]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    """When something was done to the platform, and what."""
    _began: float = field(default_factory=time.monotonic)

    def mark(self, what: str) -> None:
        """Note what is done to the platform now."""
        self.marks.append((time.monotonic() - self._began, what))

    async def sample(self) -> None:
        """Read every gauge; those of a part that is away are left out."""
        found = await asyncio.to_thread(self._read)
        counts = await self.shop.ask(
            """SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
                (SELECT count(*) FROM checkout.outbox_events WHERE processed_at IS NULL) AS waiting"""
        )
        found["database connections"] = counts[0]["connections"]
        found["outbox, events"] = counts[0]["waiting"]
        self.samples.append((time.monotonic() - self._began, found))

    def _read(self) -> dict[str, float]:
        found: dict[str, float] = {}
        rows = self.stack.rows()
        for row in rows:
            with suppress(psutil.Error):  # a share of what is shared: PostgreSQL's processes share their buffers
                process = psutil.Process(row["pid"])
                family = [process, *process.children(recursive=True)] if row["pid"] else []
                found[f"memory of {row['name']}, MB"] = sum(one.memory_full_info().pss for one in family) / MEGABYTE
                found[f"files of {row['name']}"] = sum(one.num_fds() for one in family)
        ports = {row["name"]: row["ports"][-1] for row in rows}
        with suppress(requests.RequestException):
            pages = [requests.get(f"http://127.0.0.1:{ports[name]}/metrics", timeout=2).text for name in CONSUMERS]
            found["consumer lag, messages"] = sum(total(page, "cartwright_consumer_lag_messages") for page in pages)
        found["disk, MB"] = sum(_size(data_folder(name, self.stack.home)) for name in STORES)
        return found

    def series(self, name: str) -> list[tuple[float, float]]:
        """Return the samples of one gauge, without those at which it was not known: the lag is not while Kafka is away."""
        return [(at, values[name]) for at, values in self.samples if not math.isnan(values.get(name, math.nan))]

    def rows(self) -> list[tuple[str, float, float, float, float]]:
        """Return each gauge with its median at the beginning and at the end, its most, and its slope an hour."""
        names = dict.fromkeys(name for _, values in self.samples for name in values)
        known = {name: series for name in names if (series := self.series(name))}
        return [(name, *_shape(series)) for name, series in known.items()]

    def draw(self, path: Path) -> None:
        """Draw the gauges of the whole platform, and the memory of each process of ours."""
        ours = [f"memory of {name}, MB" for name, part in PARTS.items() if not part.is_store]
        charts = {"memory of our processes, MB": {name.split()[2].rstrip(","): self.series(name) for name in ours}}
        charts |= {
            name: {name: self.series(name)}
            for name in ("database connections", "consumer lag, messages", "outbox, events", "disk, MB")
        }
        path.write_text(lines(charts, self.marks))


def _shape(series: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    values = [value for _, value in series]
    edge = max(1, int(len(values) * EDGE))
    slope = 0.0
    if len(series) > 1 and series[-1][0] > series[0][0]:
        slope = statistics.linear_regression(*zip(*series, strict=True)).slope * 3600
    return statistics.median(values[:edge]), statistics.median(values[-edge:]), max(values), slope


def _size(folder: Path) -> float:
    """Return the size of a folder on the disk in megabytes; files may vanish while it is measured."""
    done = subprocess.run(["du", "-sk", str(folder)], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) / 1024 if done.stdout else 0.0
