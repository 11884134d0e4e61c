"""The yardstick: a bare aiohttp server on the loop and with the settings of our gateway, which says hello.

Run as `python -m tests.bench.hello`: it takes a free port of this machine, prints it, and serves until its input ends.
"""

import asyncio
import sys

import uvloop
from aiohttp import web


async def hello(_: web.Request) -> web.Response:
    """Say hello."""
    return web.json_response({"hello": "world"})


async def serve() -> None:
    """Serve until standard input ends, which it does with the process that started this one."""
    app = web.Application()
    app.add_routes([web.get("/", hello)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, reuse_port=False)
    await site.start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - it is read by the one who started it
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve())
