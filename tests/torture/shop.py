"""The platform as the torture's customers and its checks use it: REST, the API server, the bank's behaviour, and each store's own data."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import asyncpg
import grpc
import pymongo
import redis
import yaml
from pymongo.errors import PyMongoError

from services.pb import bank_pb2 as pb
from services.pb import bank_pb2_grpc

TRANSIENT = (
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    grpc.RpcError,
    PyMongoError,
)
"""What a part that is away just now makes a client library raise."""
PAUSE_SECONDS = 0.1
AWAY_SECONDS = 60
"""How long a store may be away before what only the torture asks of it fails."""
_READY = aiohttp.ClientTimeout(total=15)
"""It may be paused."""


class Shop:
    """Connections to a running platform. `async with` it."""

    def __init__(self, urls: Mapping[str, str], kubeconfig: Path) -> None:
        self._urls = urls
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._api = f"{cluster['server']}/apis/cartwright.dev/v1alpha1/namespaces/default/checkouts"
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self._token = user.get("token", "")
        self.mongo: Any = pymongo.MongoClient(urls["MONGODB_URL"], serverSelectionTimeoutMS=30_000)
        self.redis = redis.Redis.from_url(urls["REDIS_URL"])

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10))
        urls = (self._urls["POSTGRES_URL"], self._urls["BANK_POSTGRES_URL"])
        self._pools = [await asyncpg.create_pool(url, min_size=0, max_size=4) for url in urls]
        self._channel = grpc.aio.insecure_channel(self._urls["BANK_ADDR"])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._channel.close()
        for pool in self._pools:
            pool.terminate()
        self.mongo.close()
        self.redis.close()

    async def rest(self, user_id: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Send a request as a user; return its status and body, 0 where no answer came."""
        headers = {"X-User-Id": str(user_id)}
        try:
            async with self._session.request(
                method, self._urls["CARTWRIGHT_URL"] + path, json=body, headers=headers
            ) as answer:
                return answer.status, await answer.read()
        except TRANSIENT as error:
            return 0, repr(error).encode()

    async def ready(self, port: int) -> bool:
        """Return whether the process whose pages are at a port says that it is ready."""
        try:
            async with self._session.get(f"http://127.0.0.1:{port}/ready", timeout=_READY) as answer:
                return answer.status == 200
        except TRANSIENT:
            return False

    async def kube(self, method: str, name: str = "", body: Any = None) -> tuple[int, dict[str, Any]]:
        """Send a request about a Checkout to the API server; return its status and object, 0 where no answer came.

        The object is empty where the API server refuses: what it then answers is no Checkout.
        """
        headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        url = f"{self._api}/{name}" if name else self._api
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(method, url, data=data, headers=headers, ssl=self._tls) as answer:
                return answer.status, await answer.json() if answer.ok else {}
        except (*TRANSIENT, ValueError):
            return 0, {}

    async def bank(self, user_id: int, behaviour: int) -> None:
        """Tell the bank how to answer the charges of a user, as often as it takes."""
        request = pb.SetBehaviourRequest(behaviour=behaviour, user_id=user_id)
        ends_at = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                await bank_pb2_grpc.BankAdminStub(self._channel).SetBehaviour(request, timeout=2)
            except grpc.RpcError:
                if time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    async def carts(self, users: Sequence[int]) -> list[dict[str, Any]]:
        """Return the documents of the carts of some users, asked until MongoDB answers."""
        ends_at = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return await asyncio.to_thread(
                    lambda: list(self.mongo.cartdb.carts.find({"user_id": {"$in": list(users)}}))
                )
            except PyMongoError:
                if time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def ask(self, sql: str, *args: Any, bank: bool = False) -> list[dict[str, Any]]:
        """Return the rows of a query, asked until the database answers: it may be starting again."""
        ends_at = time.monotonic() + AWAY_SECONDS
        pool = self._pools[bank]
        while True:
            try:
                return [dict(row) for row in await pool.fetch(sql, *args, timeout=10)]
            except TRANSIENT:
                if time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
