"""The health pages: whether the event loop runs, whether the watch has begun, and which rights the operator lacks.

The time of the last comparison is a metric. A checkout service that is away is no reason to restart the operator.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import generate_latest

from checkout_operator.permissions import Permissions
from checkout_operator.sharding import WHOLE
from checkout_operator.telemetry import Metrics

LAG_SECONDS = 5.0
TICK_SECONDS = 0.05
"""How often the event loop is measured: what holds it up for less than this may not be seen in full."""
LAG_WINDOW = 15
"""For how many seconds the longest lag is shown: as long as Prometheus may take until it asks again."""


class CannotListen(Exception):
    """The port is taken or forbidden. `str()` says what to do."""


class Health:
    """The pages /health, /ready and /metrics."""

    def __init__(self, metrics: Metrics, permissions: Permissions) -> None:
        self.shard = WHOLE
        """What this operator works on, which /ready shows. One that works on nothing is not ready."""
        self._metrics = metrics
        self._permissions = permissions
        self.ready = asyncio.Event()
        self._ticked_at = self._second_began = time.monotonic()
        self._lags = deque([0.0], maxlen=LAG_WINDOW)
        """The longest lag of each second."""
        metrics.loop_lag.set_function(lambda: max(self._lags))

    async def _measure_lag(self) -> None:
        """Measure how late the event loop is, for ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self._record_lag(now, max(0.0, now - self._ticked_at - TICK_SECONDS))
            self._ticked_at = now

    def _record_lag(self, now: float, lag: float) -> None:
        if now - self._second_began < 1:
            self._lags[-1] = max(self._lags[-1], lag)
        else:
            self._lags.append(lag)
            self._second_began = now

    async def serve(self, host: str, port: int) -> web.AppRunner:
        """Serve the pages, and measure how late the event loop is, until the runner is cleaned up.

        Raises CannotListen when the port is taken.
        """
        app = web.Application()
        app.cleanup_ctx.append(self._while_measured)
        app.add_routes(
            [web.get("/health", self._health), web.get("/ready", self._ready), web.get("/metrics", self._page)]
        )
        app.on_response_prepare.append(_name_server)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise CannotListen(
                f"cannot listen on port {port} of {host}: set HTTP_PORT to a free port, or stop the process that uses it ({error})"
            ) from error
        return runner

    async def _while_measured(self, _: web.Application) -> AsyncIterator[None]:
        measuring = asyncio.create_task(self._measure_lag())
        yield
        measuring.cancel()

    async def _health(self, _: web.Request) -> web.Response:
        late = time.monotonic() - self._ticked_at > LAG_SECONDS + TICK_SECONDS
        return web.json_response({"status": "late" if late else "ok"}, status=503 if late else 200)

    async def _ready(self, _: web.Request) -> web.Response:
        missing = self._permissions.missing()
        if self._permissions.is_hindered():
            return web.json_response({"status": "forbidden", "missing_rights": missing}, status=503)
        if not self.shard.is_member:
            return web.json_response({"status": "no member", **self._members()}, status=503)
        ready = self.ready.is_set()
        body = {"status": "ok" if ready else "starting", **self._members()}
        if missing:
            body["missing_rights"] = missing
        return web.json_response(body, status=200 if ready else 503)

    def _members(self) -> Mapping[str, Any]:
        """Return who shares the work with this operator, where there may be others."""
        if self.shard == WHOLE:
            return {}
        return {"member": self.shard.member, "members": sorted(self.shard.members)}

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), content_type="text/plain")


async def _name_server(_: web.Request, response: web.StreamResponse) -> None:
    """Replace aiohttp's Server header, which names versions."""
    response.headers["Server"] = "cartwright"
