"""What an operator gives up and takes over when the members change."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import structlog

from checkout_operator import rebalance
from checkout_operator.cache import ResourceCache
from checkout_operator.claims import Claims
from checkout_operator.cluster import ClusterUnavailable, Forbidden
from checkout_operator.config import Config
from checkout_operator.faults import Faults
from checkout_operator.health import Health
from checkout_operator.mirrors import Decision, MirrorPolicy
from checkout_operator.permissions import Permissions
from checkout_operator.projector import Projector
from checkout_operator.rebalance import Rebalancer
from checkout_operator.reconciler import Reconciler
from checkout_operator.sharding import WHOLE, Shard
from checkout_operator.sweeper import Sweeper
from checkout_operator.watchdog import WatchDied, Watchdog
from checkout_operator.workqueue import WorkQueue
from tests.operator.views import at

BOTH = frozenset({"a", "b"})
NAMES = [f"r{number}" for number in range(20)]
NONE = Shard("a", frozenset())
ALL = Shard("a", frozenset({"a"}))
HALF = Shard("a", BOTH)
OWN = {name for name in NAMES if HALF.owns(f"uid-{name}")}


class Sagas:
    """Stands in for the checkout service: every resource has the checkout of its own; `answering` may hold its answers up."""

    def __init__(self, view):
        self.view, self.started, self.answering = view, [], asyncio.Event()
        self.answering.set()

    async def start(self, resources):
        self.started += [one.name for one in resources]
        await self.answering.wait()
        return await self.get_for(resources)

    async def get_for(self, resources):
        return [replace(self.view, key=one.uid) for one in resources]

    async def list_rest(self, ended_within, cursor=None):
        return SimpleNamespace(views=[], next_cursor=None)


@pytest.fixture
def cache():
    """No resources yet."""
    return ResourceCache()


@pytest.fixture
def there(cluster, make):
    """Twenty resources on the API server, beside one that is not valid."""
    for name in NAMES:
        metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1}
        metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
        cluster.objects[name] = {"metadata": metadata, "spec": {"userId": 7, "managedBy": "operator"}}
    cluster.objects["odd"] = {"metadata": {}, "spec": {}}


class Operator:
    """The parts of an operator that share the work."""

    def __init__(self, cache, cluster, config, metrics, view):
        log, self.cache, self.queue, self.sagas = structlog.get_logger(), cache, WorkQueue(), Sagas(view)
        faults = Faults(metrics, log)
        self.projector = Projector(cache, cluster, MirrorPolicy(cache, config), faults=faults, metrics=metrics, log=log)
        self.reconciler = Reconciler(
            cache, self.queue, self.sagas, self.projector, faults=faults, metrics=metrics, log=log
        )
        self.health = Health(metrics, Permissions(metrics, log))
        self.scope = scope = config.scope()
        self.claims = claims = Claims(cluster, scope, None, log)
        self.rebalancer = Rebalancer(
            cache,
            self.queue,
            cluster,
            self.reconciler,
            self.health,
            scope=scope,
            claims=claims,
            metrics=metrics,
            log=log,
        )

    def names(self):
        """Give the names of what it works on."""
        return {one.name for one in self.cache.all()}

    async def take_over(self):
        """Take over what there may be. Returns how many resources that were."""
        before = len(self.cache.all())
        assert not await self.rebalancer.take_over(self.scope.watches)
        return len(self.cache.all()) - before

    async def reconcile(self):
        """Do what is queued, and show it."""
        names = await self.queue.get(100)
        await self.reconciler.reconcile(names)
        for name in names:
            self.queue.done(name)
        await self.projector.flush()


@pytest.fixture
def operator(cache, cluster, config, metrics, view, there):
    """The operator `a`, which is no member yet."""
    operator = Operator(cache, cluster, config, metrics, view)
    operator.rebalancer.change(NONE)
    return operator


async def until(check, task):
    """Let a task run until something is so."""
    async with asyncio.timeout(5):
        while not check():
            assert not task.done()
            await asyncio.sleep(0)


async def test_a_share_is_taken_over_and_given_up(operator):
    """An operator works on its part of what there is; on all of it when the other is lost; and on its part again."""
    operator.rebalancer.change(HALF)
    assert await operator.take_over() == len(OWN)
    assert operator.names() == OWN
    operator.rebalancer.change(ALL)
    assert await operator.take_over() == len(NAMES) - len(OWN)
    assert operator.names() == set(NAMES)
    await operator.reconcile()
    assert sorted(operator.sagas.started) == sorted(NAMES)
    operator.rebalancer.change(HALF)
    assert operator.names() == OWN
    operator.rebalancer.change(NONE)
    assert operator.names() == set()


async def test_what_the_watch_has_reported_stays(operator, make):
    """A list says nothing of what the watch has reported meanwhile: neither a change nor an end is undone."""
    operator.rebalancer.change(ALL)
    operator.cache.put(make("r0", generation=2, cancelRequested=True))
    operator.cache.remove(make("r1"))
    assert await operator.take_over() == len(NAMES) - 2
    assert operator.cache.get(at("r0")).generation == 2
    assert operator.cache.get(at("r1")) is None


async def test_a_list_that_fails_is_made_again(operator, cluster, away, monkeypatch):
    """Where the API server does not answer, what is to be taken over is listed again until it does."""
    monkeypatch.setattr(rebalance, "RETRY_SECONDS", 0)
    cluster.faults["list"] = [away(), away()]
    operator.rebalancer.change(HALF)
    running = asyncio.create_task(operator.rebalancer.run())
    await until(lambda: operator.names() == OWN, running)
    running.cancel()
    assert [verb for verb, _ in cluster.calls].count("list") == 3


async def test_a_namespace_without_rights(operator, cluster, monkeypatch):
    """A namespace that may not be listed is tried again until it may."""
    monkeypatch.setattr(rebalance, "LEFT_RETRY_SECONDS", 0)
    cluster.faults["list"] = [Forbidden("checkouts is forbidden"), Forbidden("checkouts is forbidden")]
    operator.rebalancer.change(HALF)
    with structlog.testing.capture_logs() as lines:
        running = asyncio.create_task(operator.rebalancer.run())
        await until(lambda: operator.names() == OWN, running)
    running.cancel()
    assert [verb for verb, _ in cluster.calls].count("list") == 3
    assert [one["log_level"] for one in lines].count("warning") == 1


async def test_a_namespace_that_cannot_be_claimed(operator, cluster, monkeypatch):
    """Of a list over all namespaces the rest is taken over; the one whose claim fails is asked about once in a round."""
    other = json.loads(json.dumps(cluster.objects["r0"]))
    for name in ("other0", "other1"):
        cluster.objects[name] = json.loads(
            json.dumps(other).replace('"r0"', f'"{name}"').replace("uid-r0", f"uid-{name}")
        )
        cluster.objects[name]["metadata"]["namespace"] = "other"
    cluster.objects = {name: cluster.objects[name] for name in sorted(cluster.objects)}  # they come first
    asked = []

    async def try_hold(namespace):
        if namespace == "other":
            asked.append(namespace)
            raise ClusterUnavailable("failed calling webhook")
        return True

    monkeypatch.setattr(operator.claims, "try_hold", try_hold)
    operator.rebalancer._scope = Config(watch_all_namespaces=True).scope()
    operator.rebalancer.change(ALL)
    assert list(await operator.rebalancer.take_over([None])) == [None]
    assert operator.names() == set(NAMES)
    assert asked == ["other"]
    assert operator.reconciler._compare_soon.is_set()


async def test_a_namespace_comes_back(operator):
    """What was left out of a namespace that belonged to another release is taken over once it belongs to this one."""
    operator.rebalancer.change(HALF)
    running = asyncio.create_task(operator.rebalancer.run())
    await until(lambda: operator.names() == OWN, running)
    for one in operator.cache.all():
        operator.cache._forget(one)  # as if it had been left out
    operator.claims.on_gain()
    await until(lambda: operator.names() == OWN, running)
    running.cancel()


async def test_a_resource_comes_back(operator, cluster):
    """A resource that goes to another member and comes back is not taken for one whose key belongs to other items."""
    operator.rebalancer.change(ALL)
    await operator.take_over()
    await operator.reconcile()
    for shard in (NONE, ALL):
        operator.rebalancer.change(shard)
    await operator.take_over()
    await operator.reconciler.compare()
    await operator.reconcile()
    assert {cluster.statuses[name]["phase"] for name in NAMES} == {"Paying"}


async def test_an_answer_after_the_share_is_gone(operator, cluster):
    """A start whose answer comes when the resource is another member's decides nothing once it comes back."""
    operator.rebalancer.change(ALL)
    await operator.take_over()
    operator.sagas.answering.clear()
    running = asyncio.create_task(operator.reconcile())
    await until(lambda: len(operator.sagas.started) == len(NAMES), running)
    operator.rebalancer.change(NONE)
    operator.sagas.answering.set()
    await running
    assert cluster.statuses == {}
    operator.rebalancer.change(ALL)
    await operator.take_over()
    await operator.reconciler.compare()
    await operator.reconcile()
    assert {cluster.statuses[name]["phase"] for name in NAMES} == {"Paying"}


async def test_the_watchdog_minds_its_own(cluster, config, there, make):
    """What another member owns is not missed, and a check during which the members change says nothing."""
    cache = ResourceCache()
    cache.shard = HALF
    scope, log = config.scope(), structlog.get_logger()
    dog = Watchdog(cache, cluster, scope, Claims(cluster, scope, None, log), log)
    for name in OWN - {min(OWN)}:
        cache.put(make(name))
    await dog.run_once()
    cache.shard = WHOLE
    original = cluster.list_all

    async def changing(*scope):
        async for body in original(*scope):
            yield body
        cache.shard = HALF

    cluster.list_all = changing
    await dog.run_once()
    cluster.list_all = original
    await dog.run_once()
    with pytest.raises(WatchDied, match="1 resources"):
        await dog.run_once()


async def test_limits_are_shared(cache, cluster, config, view, mirror):
    """The limits of mirrors are those of all members: each keeps to its part of them."""
    views = [replace(view, id=f"c{number}", from_resource=False) for number in range(40)]
    made = {}
    for member in sorted(BOTH):
        own = ResourceCache()
        own.shard = Shard(member, BOTH)
        policy = MirrorPolicy(own, config.model_copy(update={"mirror_max_objects": 7}))
        assert policy.writes.rate == config.mirror_max_writes_per_second / 2
        made[member] = 0
        for one in views:
            if own.names_for(one) and policy.decide(one) is Decision.CREATE:
                own.put(mirror(one.id))
                made[member] += 1
    assert sorted(made.values()) == [3, 4]


async def test_a_change_in_the_middle(operator, cluster, view, make):
    """What was under way when the members changed puts nothing into the cache that is another's, and makes no mirror of it."""
    operator.rebalancer.change(HALF)
    for name in NAMES:
        operator.cache.put(make(name))
    assert operator.names() == OWN
    rest = replace(view, from_resource=False)
    operator.rebalancer.change(ALL)
    operator.projector.enqueue(rest)
    operator.rebalancer.change(NONE)
    await operator.projector.flush()
    assert ("create", "co-c1") not in cluster.calls


async def test_a_slow_rate_is_shared_too(cache, config):
    """A part that is below one write a second lets a write through from time to time."""
    cache.shard = HALF
    assert MirrorPolicy(cache, config.model_copy(update={"mirror_max_writes_per_second": 1.0})).writes.rate == 0.5
    assert MirrorPolicy(cache, config.model_copy(update={"mirror_max_writes_per_second": 2.0})).writes.spend()


async def test_a_sweep_of_a_part(cluster, config, make):
    """Where nothing is this operator's, it deletes nothing."""
    cache = ResourceCache()
    cache.shard = NONE
    assert await Sweeper(cache, cluster, config, structlog.get_logger()).run_once() == 0


async def test_who_is_no_member_is_not_ready(operator, metrics):
    """The page says who shares the work, and an operator that has no part of it is not ready; the metric counts them."""
    health = operator.health
    health.ready.set()
    page = await health._ready(None)
    assert (page.status, json.loads(page.text)["members"]) == (503, [])
    assert metrics.registry.get_sample_value("checkout_operator_members") == 0
    operator.rebalancer.change(HALF)
    page = await health._ready(None)
    assert (page.status, json.loads(page.text)) == (200, {"status": "ok", "member": "a", "members": ["a", "b"]})
    assert metrics.registry.get_sample_value("checkout_operator_members") == 2
    operator.rebalancer.change(WHOLE)
    assert json.loads((await health._ready(None)).text) == {"status": "ok"}
