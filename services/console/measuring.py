"""Reads the metrics that the parts expose, and keeps those of the last hour.

The console asks the parts themselves, so that it shows the same with and without a Prometheus. A name that stands for many
replicas is asked at each of them.
"""

import asyncio
import math
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as MetricSample

from services.chassis.bounded import read_bounded
from services.chassis.env import BadSettings
from services.console.history import Audit, Breaker, Sample

SECONDS = 1.0
MAX_BYTES = 4 * 1024 * 1024
OK = 200
_LAST_PORT = 65535
_OLDEST, _WAITING = "cartwright_outbox_oldest_seconds", "cartwright_outbox_waiting"
_BREAKER, _LAG = "cartwright_breaker_open", "cartwright_consumer_lag"
_DEAD = ("cartwright_outbox_dead_total", "cartwright_messages_dead_total")
_DIFFERENCES, _DIFFERENCE_AGE = "cartwright_audit_differences", "cartwright_audit_oldest_difference_seconds"
_BOOKS = "cartwright_audit_book_compared"
_WANTED = (_OLDEST, _WAITING, _BREAKER, _LAG, *_DEAD, _DIFFERENCES, _DIFFERENCE_AGE, _BOOKS)

Pages = Mapping[str, Sequence[str] | None]
"""The metrics pages of each part, one for each replica; None: it did not answer."""


def addresses(text: str) -> dict[str, tuple[str, int]]:
    """Return the parts of METRICS_ADDRS. Raises BadSettings that names what is wrong."""
    found = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        part, _, address = one.partition("=")
        host, _, port = address.rpartition(":")
        if not part or not host or not port.isdigit() or not 0 < int(port) <= _LAST_PORT:
            raise BadSettings(f"METRICS_ADDRS: must be part=host:port, with commas between (got {one!r})")
        found[part] = (host, int(port))
    return found


class Reader:
    """Reads the metrics pages of parts."""

    def __init__(self, parts: Mapping[str, tuple[str, int]], session: aiohttp.ClientSession) -> None:
        self._parts = parts
        self._session = session

    async def pages(self) -> Pages:
        """Return the pages of each part."""
        found = await asyncio.gather(*(self._of(host, port) for host, port in self._parts.values()))
        return dict(zip(self._parts, found, strict=True))

    async def _of(self, host: str, port: int) -> Sequence[str] | None:
        try:
            async with asyncio.timeout(SECONDS):
                loop = asyncio.get_running_loop()
                known = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                replicas = sorted({str(address[4][0]) for address in known})
                return await asyncio.gather(*(self._page(replica, port) for replica in replicas))
        except (TimeoutError, OSError, aiohttp.ClientError, UnicodeError):
            return None

    async def _page(self, replica: str, port: int) -> str:
        host = f"[{replica}]" if ":" in replica else replica
        async with self._session.get(f"http://{host}:{port}/metrics", allow_redirects=False) as response:
            if response.status != OK:
                raise aiohttp.ClientError(f"answers with status {response.status}")
            return (await read_bounded(response, MAX_BYTES)).decode()


def sample(pages: Pages, at_ms: int, running: int | None) -> Sample:
    """Return what the pages say. Where replicas differ, the oldest event and the most waiting count: one relay leads."""
    oldest: list[float] = []
    waiting: list[float] = []
    lag: dict[str, float | None] = {}
    breakers: dict[Breaker, None] = {}
    dead = 0.0
    for part, replicas in pages.items():
        for one in (one for page in replicas or () for one in _samples(page)):
            if one.name == _OLDEST:
                oldest.append(one.value)
            elif one.name == _WAITING:
                waiting.append(one.value)
            elif one.name.startswith(_LAG):
                before = lag.get(part, 0.0)
                lag[part] = None if before is None or math.isnan(one.value) else before + one.value
            elif one.name == _BREAKER and one.value:
                breakers[Breaker(part, one.labels["dependency"])] = None
            elif one.name in _DEAD:
                dead += one.value
    return Sample(
        at_ms=at_ms,
        outbox_oldest_seconds=max(oldest, default=None),
        outbox_waiting=max(waiting, default=None),
        lag=lag,
        breakers=tuple(breakers),
        dead_messages=dead,
        away=tuple(part for part, replicas in pages.items() if replicas is None),
        running=running,
        audit=_audit(one for replicas in pages.values() for page in replicas or () for one in _samples(page)),
    )


def _audit(samples: Iterable[MetricSample]) -> Audit | None:
    """Return the auditor's verdict. Where there are two auditors, during an update, what either has found counts."""
    found: dict[str, int] = {}
    books: dict[str, float] = {}
    oldest = 0.0
    for one in samples:
        if one.name == _DIFFERENCES and one.value:
            kind = one.labels["kind"]
            found[kind] = max(found.get(kind, 0), int(one.value))
        elif one.name == _DIFFERENCE_AGE:
            oldest = max(oldest, one.value)
        elif one.name == _BOOKS:
            book = one.labels["book"]
            books[book] = max(books.get(book, 0.0), one.value)
    if not books:
        return None
    return Audit(
        found, oldest, sum(map(bool, books.values())), tuple(book for book, value in books.items() if not value)
    )


def _samples(page: str) -> Iterator[MetricSample]:
    """Yield the samples that are wanted; reading the others would cost most of the time. What is no page has none."""
    wanted = [line for line in page.splitlines() if line.startswith(_WANTED)]
    # As untyped metrics, which need no declaration: a counter's name keeps its ending.
    try:
        for family in text_string_to_metric_families("\n".join([*wanted, "# EOF", ""])):
            yield from family.samples
    except ValueError:
        return
