"""Starts the operator: `python -m checkout_operator.main`. The watch, the workers and each loop are a task."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import kopf
import structlog
import uvloop

from checkout_operator import handlers, tracing
from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims, NamespaceTaken
from checkout_operator.clock import ServerClock
from checkout_operator.cluster import Cluster
from checkout_operator.config import BadSettings, Config, read
from checkout_operator.credentials import Credentials, NoCluster
from checkout_operator.faults import Faults
from checkout_operator.health import CannotListen, Health
from checkout_operator.membership import Membership
from checkout_operator.mirrors import MirrorPolicy
from checkout_operator.permissions import Permissions
from checkout_operator.projector import Projector
from checkout_operator.rebalance import Rebalancer
from checkout_operator.reconciler import WORKERS, Reconciler
from checkout_operator.saga_client import SagaClient
from checkout_operator.scope import Scope
from checkout_operator.sweeper import Sweeper
from checkout_operator.telemetry import Metrics, make_log
from checkout_operator.watch_filter import WatchFilter
from checkout_operator.watchdog import WatchDied, Watchdog
from checkout_operator.workqueue import WorkQueue

FLUSH_SECONDS = 5.0
EXIT_RESTART, EXIT_USAGE = 1, 2
GC_THRESHOLD = 10_000
"""How many more objects there are before the garbage collector runs. With Python's 700 it runs all the time, and visits them all."""


async def operate(config: Config) -> None:
    """Run until SIGTERM, then write what is pending and end."""
    log, metrics = make_log(config.log_level), Metrics()
    stopping = asyncio.Event()
    _end_by_signal(stopping)
    async with AsyncExitStack() as stack:
        stack.callback(_trace(config, metrics))
        permissions, clock = Permissions(metrics, log), ServerClock(metrics)
        health = Health(metrics, permissions)
        stack.push_async_callback((await health.serve(config.listen_host, config.http_port)).cleanup)
        credentials = await Credentials.load()
        cluster = Cluster(credentials, permissions, clock)
        stack.push_async_callback(cluster.close)
        sagas = SagaClient(config.checkout_addr)
        stack.push_async_callback(sagas.close)
        scope = config.scope()
        claims = Claims(cluster, scope, config.claimant(), log)
        if not await _unless(stopping, claims.hold_all()):
            return
        cache = ResourceCache(scope.mirror_namespace)
        queue, watch_filter, faults = WorkQueue(), WatchFilter(cache), Faults(metrics, log)
        mirrors = MirrorPolicy(cache, config, clock=clock.now)
        projector = Projector(cache, cluster, mirrors, faults=faults, metrics=metrics, log=log, clock=clock.now)
        reconciler = Reconciler(
            cache, queue, sagas, projector, faults=faults, metrics=metrics, log=log, clock=clock.now
        )
        sweeper = Sweeper(cache, cluster, config, log, clock=clock.now)
        watchdog = Watchdog(cache, cluster, scope, claims, log)
        named = log.bind(member=config.member_name)
        rebalancer = Rebalancer(
            cache, queue, cluster, reconciler, health, scope=scope, claims=claims, metrics=metrics, log=named
        )
        leases = Cluster(credentials, permissions, clock)
        stack.push_async_callback(leases.close)
        membership, shares = (
            Membership(leases, config, on_change=rebalancer.change, log=named),
            config.sharding == "Leases",
        )
        rebalancer.change(membership.shard)
        login = handlers.Login(credentials, permissions, clock, watch_filter.middleware())
        registry = handlers.register(cache, queue, login, watch_filter, scope=scope, claims=claims, log=log)
        watching = asyncio.create_task(_watch(registry, scope, stopping, health.ready))
        tasks = [
            asyncio.create_task(work)
            for work in (
                *(reconciler.work() for _ in range(WORKERS)),
                reconciler.follow(),
                reconciler.run_compare(config.compare_every),
                projector.run(),
                sweeper.run(),
                watchdog.run(config.relist_every),
                claims.run(),
                rebalancer.run(),
                *((membership.run(),) if shares else ()),
            )
        ]
        log.info("watching", namespaces=scope.watches, selector=str(scope.selector), mirrors=scope.mirror_namespace)
        _collect_seldom()
        stopped = asyncio.create_task(stopping.wait())
        every: set[asyncio.Task[Any]] = {watching, stopped, *tasks}
        await asyncio.wait({*every, asyncio.create_task(health.ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        _end_by_signal(stopping)  # kopf has replaced our handlers by its own, which would wait 5 s for our tasks
        done, _ = await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        _log_errors(done - {stopped}, log)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _leave(membership if shares else None, projector, log)
        await watching
        for task in done - {stopped, watching}:
            task.result()  # none of them ends by itself: raise what ended it
        if watching in done and stopped not in done:
            raise WatchDied("the watch ended without an error; a new process is needed")


async def _watch(registry: kopf.OperatorRegistry, scope: Scope, stopping: asyncio.Event, ready: asyncio.Event) -> None:
    """Watch until `stopping` is set; `ready` is set once the watch has begun."""
    await kopf.operator(
        registry=registry,
        settings=handlers.settings(scope.selector),
        clusterwide=scope.namespaces is None,
        namespaces=[one for one in scope.watches if one is not None],
        standalone=True,
        stop_flag=stopping,
        ready_flag=ready,
    )


def _log_errors(ended: set[asyncio.Task[Any]], log: structlog.stdlib.BoundLogger) -> None:
    for task in ended:
        if error := task.exception():
            log.error("a task ended with an error", error=repr(error), exc_info=error)


async def _leave(membership: Membership | None, projector: Projector, log: structlog.stdlib.BoundLogger) -> None:
    """Hand over to the other operators, where there are any, and write what is pending."""
    if membership:
        await membership.leave()
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await projector.flush()
    except TimeoutError:
        log.warning("not every status was written before the end; the next operator writes the rest")


def _trace(config: Config, metrics: Metrics) -> Callable[[], None]:
    """Record traces from now on, if there is a collector. Returns what ends it."""
    if not config.traces:
        return lambda: None
    from checkout_operator.trace_export import Tracing  # noqa: PLC0415 - the import costs 0.3 s and 12 MB

    recording = Tracing(config, metrics.spans)
    tracing.use(recording)
    return recording.close


def _collect_seldom() -> None:
    """Have the garbage collector run seldom, and leave out what is there now: it stays until the process ends."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do some work, unless it is time to stop before it is done. Returns whether it is done."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not working.done():
        working.cancel()
        return False
    working.result()
    return True


def _end_by_signal(stopping: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)


def main() -> None:
    """Run the operator. Exits with 2 when a setting is wrong or no cluster is named, with 1 when a restart may help."""
    try:
        uvloop.run(operate(read()))
    except (BadSettings, NoCluster, WatchDied, CannotListen, NamespaceTaken) as error:
        sys.stderr.write("".join(f"operator: {line}\n" for line in str(error).splitlines()))
        sys.exit(EXIT_USAGE if isinstance(error, BadSettings | NoCluster) else EXIT_RESTART)


if __name__ == "__main__":
    main()
