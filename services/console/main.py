"""Starts the console: `python -m services.console.main`."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp
from aiohttp import web

from services.chassis.run import Runtime, repeat, run
from services.console.access import Doors, access
from services.console.board import Board
from services.console.clients import connected
from services.console.config import Config
from services.console.edge import Edge
from services.console.history import SAMPLE_SECONDS
from services.console.live import Changes
from services.console.measuring import Reader, addresses
from services.console.pages import Pages
from services.console.rendering import Renderer, Statics
from services.console.security import has_tls, protect

MAX_FORM_BYTES = 16 * 1024


def application(edge: Edge, pages: Pages, statics: Statics, doors: Doors) -> web.Application:
    """Return the application of the console."""
    app = web.Application(middlewares=[edge.around], client_max_size=MAX_FORM_BYTES)
    app.add_routes(pages.table(statics))
    app.add_routes(doors.routes)
    app.on_response_prepare.append(protect)
    return app


async def serve(runtime: Runtime) -> None:
    """Serve the pages."""
    config = Config.from_env(runtime.env)
    parts = addresses(config.metrics_addrs)
    async with AsyncExitStack() as stack:
        services, checks = await stack.enter_async_context(connected(config, runtime.metrics))
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        board = Board(services, Reader(parts, session))
        statics = Statics()
        renderer = Renderer(statics, config.trace_viewer_url, has_tls=has_tls(config.console_url))
        doors = await stack.enter_async_context(access(config, renderer, runtime.log, runtime.metrics))
        changes = Changes(services.changes, runtime.log)
        edge = Edge(renderer, doors.admit, runtime.log, runtime.metrics)
        pages = Pages(services, board, renderer, changes, runtime.stopping)
        app = application(edge, pages, statics, doors)
        background = [
            asyncio.create_task(changes.run(runtime.stopping)),
            asyncio.create_task(
                repeat(
                    board.sample_once,
                    runtime.stopping,
                    runtime.log,
                    runtime.metrics,
                    least=SAMPLE_SECONDS,
                    most=SAMPLE_SECONDS,
                    rest=SAMPLE_SECONDS,
                )
            ),
        ]
        try:
            await runtime.serve_http(config, app, {**checks, **doors.checks})
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


if __name__ == "__main__":
    run("console", {"serve": serve})
