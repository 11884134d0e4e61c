"""Reads carts: the documents in MongoDB, and the copies in Redis that readers may be shown.

The formats are those of services/cart. The documents are read from the primary, as every service reads them.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from services.auditor.books import Book, CachedCart, Cart, CartLine
from services.auditor.reading import CannotRead, reading

SECONDS = 2.0
VALUE_MS, FRESH_MS = 300_000, 10_000
"""How long a value stays in the cache, and how long readers trust it (services/cart/cache.py)."""
_KEY = re.compile(r"cart:(\d+)")


class Documents:
    """Fits the port CartBook."""

    def __init__(self, url: str) -> None:
        limit = int(SECONDS * 1000)
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            url, serverSelectionTimeoutMS=limit, connectTimeoutMS=limit, socketTimeoutMS=2 * limit, maxPoolSize=2
        )
        self._carts = self._client["cartdb"].get_collection(
            "carts", read_concern=ReadConcern("majority"), read_preference=ReadPreference.PRIMARY
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def carts(self, user_ids: Sequence[int]) -> dict[int, Cart]:
        """Return the carts that exist, by user."""
        fields = {"_id": 0, "user_id": 1, "version": 1, "lines": 1}
        with reading(Book.CARTS, PyMongoError):
            cursor = self._carts.find(
                {"user_id": {"$in": list(user_ids)}},
                fields,
                max_time_ms=int(SECONDS * 1000),
                batch_size=len(user_ids) + 1,
            )
            found = await cursor.to_list()
        try:
            carts = [_document(one) for one in found]
        except (LookupError, TypeError, ValueError) as error:
            raise CannotRead(Book.CARTS, f"a document is no cart: {error!r}") from error
        return {cart.user_id: cart for cart in carts}


def _document(found: dict[str, Any]) -> Cart:
    lines = tuple(
        CartLine(str(one["line_id"]), int(one["product_id"]), int(one["quantity"]), tuple(map(str, one["bought"])))
        for one in found["lines"]
    )
    return Cart(int(found["user_id"]), int(found["version"]), lines)


class Copies:
    """Fits the port CacheBook. It goes through the cache a page at a time, and begins again at its end."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
        self._decode = msgspec.json.Decoder(Cart).decode
        self._cursor = 0

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def some(self, most: int) -> tuple[list[CachedCart], bool]:
        """Return the next cached carts, about `most` of them, and whether all have been returned with them."""
        with reading(Book.CACHE, RedisError, OSError, TimeoutError):
            self._cursor, keys = await self._redis.scan(self._cursor, match="cart:*", count=most)
        texts = [key.decode(errors="replace") if isinstance(key, bytes) else key for key in keys]
        users = [int(found[1]) for text in texts if (found := _KEY.fullmatch(text))]
        return await self.of(users), self._cursor == 0

    async def of(self, user_ids: Sequence[int]) -> list[CachedCart]:
        """Return the cached carts of these users. What is no cart of ours, or is being written, is left out."""
        if not user_ids:
            return []
        with reading(Book.CACHE, RedisError, OSError, TimeoutError):
            pipeline = self._redis.pipeline(transaction=False)
            for user_id in user_ids:
                pipeline.pttl(f"cart:{user_id}")
                pipeline.get(f"cart:{user_id}")
                pipeline.exists(f"cart:{user_id}:w")
            answers = await pipeline.execute(raise_on_error=False)
            if refused := [one for one in answers if isinstance(one, NoPermissionError)]:
                raise refused[0]  # a key that is no cart of ours is no error, a missing right is
        found = []
        for position, user_id in enumerate(user_ids):
            life, value, written = answers[3 * position : 3 * position + 3]
            if isinstance(value, bytes) and isinstance(life, int) and written == 0:
                try:
                    cart = self._decode(value)
                except msgspec.DecodeError:
                    continue  # readers take it for a miss, and delete it
                if cart.user_id == user_id:
                    found.append(CachedCart(cart, VALUE_MS - FRESH_MS <= life <= VALUE_MS))
        return found
