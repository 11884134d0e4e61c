"""How a process starts, serves, works and stops: roles, signals, the drain.

A main module names its roles and calls `run`; a role is a coroutine over a Runtime that wires the parts and then calls
`serve` (gRPC), `serve_http` or `work` (a loop).
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
import uvloop
from aiohttp import web as aiohttp_web

from services.chassis import web
from services.chassis.env import BadSettings, Settings, process_environment
from services.chassis.failures import reason, report
from services.chassis.logs import Logger, set_up
from services.chassis.redaction import redacted
from services.chassis.rpc import Register, Server
from services.chassis.telemetry import Metrics
from services.chassis.tracing import starting
from services.errors import Fault, Transient

RunOnce = Callable[[], Awaitable[int]]
WARM_SECONDS = 5.0
"""How long a process that comes up waits for its dependencies before it serves: in an update it takes an old one's place,
which has its connections, and must not refuse what that one would have answered. What stays away is not waited for."""
WARM_PAUSE = 0.05
GC_THRESHOLD = 10_000
"""How many new objects start a garbage collection; Python's default is 700. A request makes some tens of them and leaves no
cycles behind, so that frequent collections find nothing."""
EXIT_USAGE = 2
EXIT_FAILED = 1


class Runtime:
    """What a role gets: the environment, a logger, metrics, readiness, and the sign to stop."""

    def __init__(self, service: str, role: str, env: Mapping[str, str]) -> None:
        self.service = service
        self.role = role
        self.env = env
        self.log: Logger = structlog.get_logger()
        self.metrics = Metrics()
        self.readiness = web.Readiness()
        self.stopping = asyncio.Event()

    def on_signal(self) -> None:
        """Begin to stop; asked a second time, stop at once."""
        if self.stopping.is_set():
            self.log.warning("stopped at once, without a drain: asked a second time")
            sys.exit(EXIT_FAILED)
        self.stopping.set()

    async def serve(self, settings: Settings, services: dict[str, Register], checks: Mapping[str, web.Check]) -> None:
        """Serve gRPC (full service name → what registers it) until the process is told to stop, then drain."""
        server = Server(
            self.log,
            self.metrics,
            reflect=settings.grpc_reflection,
            connection_age=settings.grpc_max_connection_age,
        )
        pages = await self._pages(settings, checks)
        try:
            await self._warm()
            port = await server.start(f"{settings.listen_host}:{settings.grpc_port}", services)
            _collect_seldom()
            await self._until_stopped(settings, grpc_port=port)
            await server.drain()
            await asyncio.sleep(settings.drain_delay)
            await server.stop(settings.drain_timeout)
        finally:
            await pages.cleanup()
        self.log.info("stopped")

    async def serve_http(
        self, settings: Settings, app: aiohttp_web.Application, checks: Mapping[str, web.Check]
    ) -> None:
        """Serve `app` with the health pages beside its own routes, until the process is told to stop, then drain."""
        app.add_routes(web.health_routes(self.readiness, self.metrics))
        app.on_response_prepare.append(web.close_when_draining(self.readiness))
        app.on_response_prepare.append(web.close_when_old(settings.http_max_connection_age))
        self.readiness.checks.update(checks)
        runner = await web.start(
            app, settings.listen_host, settings.http_port, self.metrics, drain=settings.drain_timeout
        )
        try:
            await self._warm()
            _collect_seldom()
            await self._until_stopped(settings, http_port=settings.http_port)
            await asyncio.sleep(settings.drain_delay)
        finally:
            await runner.cleanup()
        self.log.info("stopped")

    async def work(
        self,
        settings: Settings,
        loop: Callable[[asyncio.Event], Awaitable[None]],
        checks: Mapping[str, web.Check],
    ) -> None:
        """Run a worker's `loop`, which ends soon after the event is set. A loop that fails ends the process."""
        pages = await self._pages(settings, checks)
        try:
            self.readiness.state = "serving"
            self.log.info("working")
            _collect_seldom()
            await loop(self.stopping)
        finally:
            self.readiness.state = "draining"
            await pages.cleanup()
        self.log.info("stopped")

    async def _pages(self, settings: Settings, checks: Mapping[str, web.Check]) -> aiohttp_web.AppRunner:
        app = aiohttp_web.Application()
        app.add_routes(web.health_routes(self.readiness, self.metrics))
        self.readiness.checks.update(checks)
        return await web.start(app, settings.listen_host, settings.http_port, self.metrics, drain=1)

    async def _warm(self) -> None:
        """Wait until every dependency is there, for a while."""
        ends_at = asyncio.get_running_loop().time() + WARM_SECONDS
        while missing := await self.readiness.missing():
            if self.stopping.is_set():
                return
            if asyncio.get_running_loop().time() > ends_at:
                self.log.warning("serving without", dependencies=missing)
                return
            await wait(self.stopping, WARM_PAUSE)

    async def _until_stopped(self, settings: Settings, **ports: int) -> None:
        self.readiness.state = "serving"
        self.log.info("serving", host=settings.listen_host, **ports)
        await self.stopping.wait()
        self.readiness.state = "draining"
        self.log.info("draining")


def _collect_seldom() -> None:
    """Have the garbage collector run seldom, and leave out what is there now: it stays until the process ends."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


Role = Callable[[Runtime], Awaitable[None]]


def run(service: str, roles: Mapping[str, Role], arguments: Sequence[str] | None = None) -> None:
    """Run the role that the command line names (the first of `roles` without one), and exit with its code.

    Every end that is not asked for says why, on one line of the standard error: 2 for a wrong setting or argument, 1 for
    anything else. An unexpected error also goes to the log, with its traceback.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    role = given[0] if given else next(iter(roles))
    if len(given) > 1 or role not in roles:
        sys.exit(_complain(service, f"roles are: {', '.join(roles)} (got {' '.join(given)!r})"))
    env = process_environment()
    runtime = Runtime(service, role, env)
    try:
        runtime.log = set_up(service, role, env.get("LOG_LEVEL") or "info")
        end_tracing = starting.start(service, role, env, runtime.log, runtime.metrics)
        try:
            uvloop.run(_with_signals(runtime, roles[role]))
        finally:
            end_tracing()
    except BadSettings as error:
        sys.exit(_complain(service, str(error)))
    except (web.CannotListen, Fault) as error:
        sys.exit(_complain(service, reason(error), code=EXIT_FAILED))
    except Exception as error:  # noqa: BLE001 - the end of the process, which says why
        report(runtime.log, runtime.metrics, role, error)
        sys.exit(_complain(service, reason(error), code=EXIT_FAILED))


async def _with_signals(runtime: Runtime, role: Role) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.on_signal)
    await role(runtime)


def _complain(service: str, what: str, *, code: int = EXIT_USAGE) -> int:
    """Write what is wrong, each line after the service's name, and give the exit code."""
    for line in redacted(what).splitlines():
        sys.stderr.write(f"{service}: {line}\n")
    return code


async def repeat(
    run_once: RunOnce,
    stopping: asyncio.Event,
    log: Logger,
    metrics: Metrics,
    *,
    least: float,
    most: float,
    rest: float = 0,
) -> None:
    """Call `run_once` until `stopping` is set.

    It returns how much it did. After a round that did something the pause is `rest` seconds. While a round does nothing, or
    fails, the pause between calls doubles from `least` to `most` seconds. An unexpected failure is reported and does not end the loop: what else the process does goes on, and what
    one round could not do is tried again in the next.
    """
    pause = least
    while not stopping.is_set():
        done = 0
        try:
            done = await run_once()
        except Transient as fault:
            log.warning("will try again", error=str(fault), cause=reason(fault.__cause__ or fault))
        except Exception as error:  # noqa: BLE001 - reported with its traceback and counted
            report(log, metrics, getattr(run_once, "__qualname__", "worker"), error)
        pause = least if done else min(most, pause * 2)
        if seconds := rest if done else pause:
            await wait(stopping, seconds)


async def wait(stopping: asyncio.Event, seconds: float) -> None:
    """Wait so many seconds, or until `stopping` is set."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
