"""Creates Checkout resources at a rate, and notes when each was applied. A client library would cost more than the operator does."""

import asyncio
import itertools
import secrets
import ssl
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Self

import aiohttp
import msgspec

from tests.bench.measure import Failed, new_users
from tests.kube import Kube

CONNECTIONS = 8
GROUP = "cartwright.dev/v1alpha1"


def session(kube: Kube) -> aiohttp.ClientSession:
    """Open connections to the API server, as its admin."""
    tls = ssl.create_default_context(cafile=kube.session.verify)
    headers = {"Authorization": kube.session.headers["Authorization"], "Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=0), headers=headers, timeout=timeout)


class Applier:
    """Creates resources whose names and keys are `prefix` and a number, each of a user of its own."""

    def __init__(self, kube: Kube) -> None:
        self.prefix = f"bench-{secrets.token_hex(3)}-"
        self.applied: dict[str, float] = {}
        """When each resource was sent, in seconds since 1970."""
        self._url = kube.checkouts
        self._session = session(kube)
        self._first_user = new_users()
        self._numbers = itertools.count()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def at_once(self, count: int, *, ttl: int) -> None:
        """Create so many as fast as the API server takes them. `ttl`: for how many seconds each stays after its end."""
        left = iter(range(count))
        await asyncio.gather(*(self._create_all(left, ttl) for _ in range(CONNECTIONS)))

    async def at_rate(self, rate: float, seconds: float, *, ttl: int) -> float:
        """Create so many a second for so many seconds. Returns how many seconds late the last one was sent."""
        places, running = asyncio.Semaphore(4 * CONNECTIONS), set[asyncio.Task[None]]()
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            if (wait := began + number / rate - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            await places.acquire()
            task = asyncio.create_task(self._create(ttl))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _: places.release())
        late = time.monotonic() - began - seconds
        await asyncio.gather(*running)
        return max(0.0, late)

    async def _create_all(self, left: Iterator[int], ttl: int) -> None:
        for _ in left:
            await self._create(ttl)

    async def _create(self, ttl: int) -> None:
        number = next(self._numbers)
        name = f"{self.prefix}{number}"
        body = {
            "apiVersion": GROUP,
            "kind": "Checkout",
            "metadata": {"name": name},
            "spec": {
                "userId": self._first_user + number,
                "items": [{"productId": number % 5 + 1, "quantity": 1}],
                "idempotencyKey": name,
                "ttlSecondsAfterFinished": ttl,
            },
        }
        self.applied[name] = time.time()
        async with self._session.post(self._url, data=msgspec.json.encode(body)) as answer:
            if answer.status != HTTPStatus.CREATED:
                raise Failed(f"a resource was not created: {(await answer.text())[:300]}")
