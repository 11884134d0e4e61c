"""The pipeline to Redis: whoever asks is given the replies to their own commands."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import pytest

from services.cart.pipeline import Pipeline, pack

pytestmark = pytest.mark.real
WITHIN = 1.0


class Detained:
    """A way to the real Redis on which the replies of the first connection come no further once they are detained."""

    def __init__(self, redis_url):
        self._redis = urlsplit(redis_url)
        self._tasks = []
        self._ends = []
        self._sent = b""
        self._came = asyncio.Condition()
        self.free = asyncio.Event()
        self.free.set()

    @contextlib.asynccontextmanager
    async def served(self):
        """Serve, and give the address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        finally:
            server.close()
            self.free.set()
            for one in self._ends:
                one.close()
            await asyncio.gather(*self._tasks)

    async def seen(self, command):
        """Wait until a command has come by."""
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: command in self._sent)

    async def _accept(self, reader, writer):
        is_first = not self._tasks
        self._tasks.append(asyncio.current_task())
        from_redis, to_redis = await asyncio.open_connection(self._redis.hostname, self._redis.port)
        self._ends += [writer, to_redis]
        await asyncio.gather(self._ask(reader, to_redis), self._answer(from_redis, writer, is_first=is_first))

    async def _ask(self, reader, to_redis):
        while data := await reader.read(65536):
            to_redis.write(data)
            async with self._came:
                self._sent += data
                self._came.notify_all()
        to_redis.close()

    async def _answer(self, from_redis, writer, *, is_first):
        while data := await from_redis.read(65536):
            if is_first:
                await self.free.wait()
            writer.write(data)


@pytest.mark.parametrize("how", ["too late", "cancelled"])
async def test_a_late_reply_is_nobody_elses(stores, how):
    """A reply that comes after its caller has given up is not taken for the reply to the next command."""
    way = Detained(stores["REDIS_URL"])
    async with way.served() as url:
        pipeline = Pipeline(url, within=WITHIN)
        assert await pipeline.send([pack(b"ECHO", b"early")], replies=1) == [b"early"]
        way.free.clear()
        late = asyncio.create_task(pipeline.send([pack(b"ECHO", b"late")], replies=1))
        await way.seen(b"late")
        if how == "cancelled":
            late.cancel()
        with pytest.raises(asyncio.CancelledError if how == "cancelled" else TimeoutError):
            await late
        mine = asyncio.create_task(pipeline.send([pack(b"ECHO", b"mine")], replies=1))
        await way.seen(b"mine")
        way.free.set()
        assert await mine == [b"mine"]
        await pipeline.close()
