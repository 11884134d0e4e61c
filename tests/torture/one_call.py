"""One call to a store in a process that has the torture's hooks in it: `python -m tests.torture.one_call <desk> <store> <url> <user>`.

It prints the name of the error that the caller got, or `answered`.
"""

import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path

from redis.exceptions import RedisError

from services.cart.pipeline import Pipeline, pack
from services.cart.store import MongoCarts
from services.errors import Fault
from tests.torture import hooks
from tests.torture.orders import Post

SECONDS = 10.0


async def _set(url: str, user: str) -> None:
    pipeline = Pipeline(url, within=SECONDS)
    await pipeline.send([pack(b"SET", b"torture:%b" % user.encode(), b"here", b"EX", b"60")], replies=1)


async def _find(url: str, user: str) -> None:
    [found] = await MongoCarts(url).read([int(user)])
    if isinstance(found, Exception):
        raise found


CALLS = {"redis": _set, "mongo": _find}


async def _told(call: Awaitable[None]) -> str:
    try:
        await call
    except (RedisError, Fault) as error:
        return type(error).__name__
    return "answered"


if __name__ == "__main__":
    desk, store, url, user = sys.argv[1:]
    hooks.install(Post(Path(desk), "cart"))
    print(asyncio.run(_told(CALLS[store](url, user))))  # noqa: T201 - what whoever started it reads
