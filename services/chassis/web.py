"""The health, readiness and metrics pages of every process."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from weakref import WeakKeyDictionary

import msgspec
import structlog
from aiohttp import web

from services.chassis.malformed import Runner
from services.chassis.ready import ReadyResponse
from services.chassis.response_hook import ResponseHook
from services.chassis.telemetry import CONTENT_TYPE, Metrics

Check = Callable[[], Awaitable[str]]
CHECK_SECONDS = 0.5


class CannotListen(OSError):
    """The port is taken, or the address is not this machine's; `str()` names both."""


class Readiness:
    """Whether this process serves, and how its dependencies are; a dependency that is down does not take it out."""

    def __init__(self) -> None:
        self.state = "starting"
        self.checks: dict[str, Check] = {}

    async def report(self) -> tuple[int, dict[str, object]]:
        """Give the HTTP status and the body: 200 while serving, 503 while starting or draining."""
        body: dict[str, object] = {"status": self.state, "dependencies": await self._states()}
        return (200 if self.state == "serving" else 503), body

    async def missing(self) -> dict[str, str]:
        """Give the dependencies that are not there, and how they are."""
        return {name: state for name, state in (await self._states()).items() if state != "ok"}

    async def _states(self) -> dict[str, str]:
        states = await asyncio.gather(*(self._ask(check) for check in self.checks.values()))
        return dict(zip(self.checks, states, strict=True))

    @staticmethod
    async def _ask(check: Check) -> str:
        try:
            return await asyncio.wait_for(check(), CHECK_SECONDS)
        except TimeoutError:
            return "does not answer"
        except Exception:  # noqa: BLE001 - logged with its traceback; the page still shows the other dependencies
            structlog.get_logger().exception("a readiness check failed")
            return "cannot be checked"


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> ReadyResponse:
    """Return a JSON response."""
    return ReadyResponse(msgspec.json.encode(body), status=status, headers=headers)


def health_routes(readiness: Readiness, metrics: Metrics) -> list[web.RouteDef]:
    """Give the routes /health, /ready and /metrics."""

    async def health(_: web.Request) -> web.StreamResponse:
        return json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.StreamResponse:
        status, body = await readiness.report()
        return json_response(body, status=status)

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    return [web.get("/health", health), web.get("/ready", ready), web.get("/metrics", page)]


def close_when_draining(readiness: Readiness) -> ResponseHook:
    """Return a hook that closes a client's connection after each answer while draining, so that it connects to another replica."""

    def apply(_: asyncio.BaseTransport | None, response: web.StreamResponse) -> None:
        if readiness.state == "draining":
            _close(response)

    return ResponseHook(apply)


def close_when_old(seconds: float, clock: Callable[[], float] = time.monotonic) -> ResponseHook:
    """Return a hook that closes a client's connection after an answer once it is old: the next one may reach a new replica.

    Each connection gets its own age between half of `seconds` and `seconds`, counted from its first request, so that clients
    that connected together do not reconnect together. No request fails: the answer says that the connection closes. 0 means
    no limit.
    """
    ends_at: WeakKeyDictionary[asyncio.BaseTransport, float] = WeakKeyDictionary()

    def apply(connection: asyncio.BaseTransport | None, response: web.StreamResponse) -> None:
        if not seconds or connection is None:
            return
        end = ends_at.get(connection)
        if end is None:
            ends_at[connection] = clock() + seconds * random.uniform(0.5, 1)  # noqa: S311 - a spread, no secret
        elif clock() >= end:
            _close(response)

    return ResponseHook(apply)


def _close(response: web.StreamResponse) -> None:
    response.force_close()
    response.headers["Connection"] = "close"  # aiohttp has written the headers' defaults before this hook


async def start(app: web.Application, host: str, port: int, metrics: Metrics, *, drain: float) -> web.AppRunner:
    """Serve `app`, or raise CannotListen. `drain`: seconds that requests may take to end at its cleanup."""
    runner = Runner(app, metrics, handle_signals=False, shutdown_timeout=drain)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_port=False).start()
    except OSError as error:
        await runner.cleanup()
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return runner
