"""The operator as one more process: its real core (cache, queue, reconciler, projector, watchdog) over simulated ways."""

import asyncio
from typing import Any

from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.config import Config
from checkout_operator.faults import Faults
from checkout_operator.mirrors import MirrorPolicy
from checkout_operator.projector import Projector
from checkout_operator.reconciler import Reconciler
from checkout_operator.saga_client import SagaClient
from checkout_operator.spec import NamespacedName, parse
from checkout_operator.status import digest
from checkout_operator.watchdog import WatchDied, Watchdog
from checkout_operator.workqueue import WorkQueue
from services.pb import checkout_pb2_grpc
from tests.simulation.apiserver import SimCluster
from tests.simulation.network import Channel
from tests.simulation.quiet import SILENT, Instrument

CONFIG = Config(relist_every=10.0)


class OperatorMetrics:
    """Stands where checkout_operator.telemetry.Metrics does."""

    def __init__(self, count: Any) -> None:
        self.faults = Instrument("operator_faults", count)
        self.actions = Instrument("operator_actions", count)
        self.writes = Instrument("operator_writes", count)

    def __getattr__(self, _: str) -> Any:
        return SILENT


class SimSagaClient(SagaClient):
    """The real client of the checkout service on a simulated channel."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        super().__init__("checkout")

    def _open(self) -> None:
        world = self._runtime.world
        self._channel: Any = Channel(world.network, self._runtime.process, "checkout")
        self._stub = checkout_pb2_grpc.CheckoutServiceStub(self._channel)
        self._opened_at = world.loop.now


async def operator(runtime: Any) -> None:
    """Reconcile, project, compare, and watch the watch, as checkout_operator.main does."""
    world, log = runtime.world, runtime.log
    metrics: Any = OperatorMetrics(world.reached)
    cache, queue, faults = ResourceCache(), WorkQueue(), Faults(metrics, log)
    cluster: Any = SimCluster(world, world.api_outage, world.apiserver)

    def now() -> float:
        return world.clock(runtime.process).timestamp()

    mirrors = MirrorPolicy(cache, CONFIG, clock=now)
    projector = Projector(cache, cluster, mirrors, faults=faults, metrics=metrics, log=log, clock=now)
    reconciler = Reconciler(cache, queue, SimSagaClient(runtime), projector, faults=faults, metrics=metrics, log=log)
    scope = CONFIG.scope()
    watchdog = Watchdog(cache, cluster, scope, Claims(cluster, scope, None, log), log)

    def handle(what: str, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        known = cache.find(NamespacedName(metadata["namespace"], metadata["name"]), metadata["uid"])
        resource = parse(body, known)
        is_new = known is None or known.generation != resource.generation
        if what == "MODIFIED" and known is not None and not is_new and digest(body.get("status") or {}) == known.status:
            return
        cache.put(resource)
        if is_new:
            queue.add(resource.namespaced_name)

    world.apiserver.watch(runtime.process, handle)
    compare, watch = reconciler.run_compare(CONFIG.compare_every), watchdog.run(CONFIG.relist_every)
    every = (reconciler.work(), reconciler.work(), reconciler.follow(), compare, projector.run(), watch)
    done, _ = await asyncio.wait([asyncio.create_task(work) for work in every], return_when=asyncio.FIRST_COMPLETED)
    try:
        for task in done:
            task.result()  # none of them ends by itself
    except WatchDied:
        world.reached("operator: watch died")
        world.kill(runtime.process)
