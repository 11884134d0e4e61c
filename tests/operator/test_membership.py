"""Several operators know of each other by their Leases on the real API server, whatever becomes of one of them.

The tests beat by hand and move the clock by hand, so that none of them waits for a Lease to run out.
"""

from types import SimpleNamespace

import pytest
import structlog
import yaml
from kubernetes.aio.config import kube_config

from checkout_operator import membership as module
from checkout_operator.clock import ServerClock
from checkout_operator.cluster import Cluster, ClusterUnavailable
from checkout_operator.config import Config
from checkout_operator.credentials import Credentials
from checkout_operator.membership import EXPIRY_SECONDS, HEARTBEAT_SECONDS, Membership
from checkout_operator.permissions import Permissions
from checkout_operator.sharding import WHOLE
from checkout_operator.telemetry import Metrics
from devstack.home import ROOT, Home
from tests.kube import Kube
from tests.platforms import new_stack

pytestmark = pytest.mark.real

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@pytest.fixture(scope="module")
def admin(request):
    """The admin of an API server, on which the operator may keep Leases as the manifest says."""
    with new_stack(f"test_membership-{request.config.getoption('--lane')}", only={"etcd", "apiserver"}) as stack:
        admin = Kube(stack.home.kubeconfig)
        for part in yaml.safe_load_all((ROOT / "manifests" / "operator-leases-rbac.yaml").read_text()):
            path = f"/apis/{part['apiVersion']}/namespaces/default/{part['kind'].lower()}s"
            answer = admin.session.post(admin.url + path, json=part, timeout=10)
            assert answer.ok, answer.text
        yield admin
        admin.session.close()


@pytest.fixture
def leases(admin):
    """Give the names of the Leases that there are."""

    def names():
        items = admin.session.get(admin.url + LEASES, timeout=10).json()["items"]
        return {one["metadata"]["name"] for one in items}

    yield names
    assert admin.session.delete(admin.url + LEASES, timeout=10).ok


class Clock:
    """A steady clock that a test moves."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        """Return the time in seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock of all members."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Member:
    """A member, and the shards that it was given."""

    def __init__(self, cluster, name, group, pod_uid):
        self.shards, self.cluster = [], cluster
        config = Config(sharding="Leases", member_name=name, member_group=group, member_pod_uid=pod_uid)
        self.membership = Membership(cluster, config, on_change=self.shards.append, log=structlog.get_logger())

    @property
    def members(self):
        """The members that it last heard of."""
        return set(self.shards[-1].members) if self.shards else None


@pytest.fixture
async def member(admin, leases, monkeypatch):
    """Make a member with the operator's own rights."""
    kubeconfig = Home(admin.kubeconfig.parent).operator_kubeconfig
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    made, permissions = [], Permissions(Metrics(), structlog.get_logger())

    async def make(name, group="shop-operator", pod_uid=None):
        cluster = Cluster(await Credentials.load(), permissions, ServerClock(Metrics()))
        made.append(Member(cluster, name, group, pod_uid))
        return made[-1]

    yield make
    for one in made:
        await one.cluster.close()


async def beat(clock, *members, seconds=0.0):
    """Have members beat, again and again for so many seconds."""
    ends_at = clock.now + seconds
    while True:
        for one in members:
            await one.membership.beat()
        if clock.now >= ends_at:
            return
        clock.now += HEARTBEAT_SECONDS


async def test_they_find_each_other(clock, member, leases):
    """Each member has a Lease and learns of the others within a heartbeat, and of each change once."""
    a, b, c = [await member(name) for name in "abc"]
    assert a.membership.shard.members == frozenset()
    await beat(clock, a, b, c, seconds=2 * HEARTBEAT_SECONDS)
    assert leases() == {"a", "b", "c"}
    assert a.members == b.members == c.members == {"a", "b", "c"}
    assert [sorted(shard.members) for shard in a.shards] == [["a"], ["a", "b", "c"]]
    keys = [f"key-{number}" for number in range(100)]
    assert all(sum(one.membership.shard.owns(key) for one in (a, b, c)) == 1 for key in keys)


async def test_one_is_killed(clock, member, leases):
    """A member that renews nothing is taken for dead when its Lease has run out, and its Lease is deleted."""
    a, b = await member("a"), await member("b")
    await beat(clock, a, b, seconds=HEARTBEAT_SECONDS)
    await beat(clock, a, seconds=EXPIRY_SECONDS - HEARTBEAT_SECONDS)
    assert a.members == {"a", "b"}
    await beat(clock, a, seconds=2 * HEARTBEAT_SECONDS)
    assert a.members == {"a"}
    assert leases() == {"a"}


async def test_one_is_stopped_and_wakes(clock, member, leases):
    """A member that was stopped for longer than its Lease goes on with its part, and the others give it back."""
    a, b = await member("a"), await member("b")
    await beat(clock, a, b, seconds=HEARTBEAT_SECONDS)
    await beat(clock, a, seconds=EXPIRY_SECONDS + HEARTBEAT_SECONDS)
    assert (a.members, leases()) == ({"a"}, {"a"})
    heard = len(b.shards)
    await beat(clock, b, a)
    assert a.members == b.members == {"a", "b"}
    assert len(b.shards) == heard
    assert leases() == {"a", "b"}


async def test_a_clean_end(clock, member, leases):
    """A member that ends deletes its Lease: at their next heartbeat the others know, and no Lease has to run out."""
    a, b = await member("a"), await member("b")
    await beat(clock, a, b, seconds=HEARTBEAT_SECONDS)
    await b.membership.leave()
    assert leases() == {"a"}
    await beat(clock, a)
    assert a.members == {"a"}


def away(*_, **__):
    """Stand in for an API server that does not answer."""
    raise ClusterUnavailable("the API server does not answer")


async def test_the_api_server_is_away(clock, member, leases, monkeypatch):
    """While nobody can look everybody keeps its part, for however long, and afterwards nobody takes the others for dead."""
    a, b = await member("a"), await member("b")
    await beat(clock, a, b, seconds=HEARTBEAT_SECONDS)
    heard = len(a.shards), len(b.shards)
    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "request", away)
        await beat(clock, a, b, seconds=600)
    await beat(clock, a)
    await beat(clock, b)
    assert (len(a.shards), len(b.shards)) == heard
    assert a.members == b.members == {"a", "b"}


async def test_renewals_that_fail(clock, member, leases, monkeypatch):
    """A member that cannot renew its Lease, and can look, gives its part up as the others take it, and joins again."""
    a, b = await member("a"), await member("b")
    await beat(clock, a, b, seconds=HEARTBEAT_SECONDS)
    monkeypatch.setattr(b.membership, "_renew", away)
    await beat(clock, b, a, seconds=EXPIRY_SECONDS)
    assert a.members == b.members == {"a"}
    assert not b.membership.shard.is_member
    monkeypatch.undo()
    monkeypatch.setattr(module, "time", clock)
    await beat(clock, b, a)
    assert a.members == b.members == {"a", "b"}


async def test_a_renewal_in_the_last_moment(clock, member, leases, monkeypatch):
    """The Lease of a member that renews it while another one takes it for dead is not deleted."""
    a, b = await member("a"), await member("b")
    await beat(clock, a, b, seconds=HEARTBEAT_SECONDS)
    await beat(clock, a, seconds=EXPIRY_SECONDS - HEARTBEAT_SECONDS)
    listed = a.membership._list

    async def late():
        leases = await listed()
        await b.membership.beat()
        return leases

    monkeypatch.setattr(a.membership, "_list", late)
    clock.now += HEARTBEAT_SECONDS
    await a.membership.beat()
    assert a.members == {"a"}
    assert leases() == {"a", "b"}


async def test_two_releases(clock, member, leases):
    """The operators of another release in the same namespace are no members, and their Leases are left alone."""
    a, other = await member("a"), await member("b", group="other-operator")
    await beat(clock, a, other)
    await beat(clock, a, seconds=2 * EXPIRY_SECONDS)
    assert a.members == {"a"}
    assert leases() == {"a", "b"}


async def test_alone():
    """An operator that shares with nobody works on everything, and asks the API server for no Lease."""
    membership = Membership(SimpleNamespace(), Config(), on_change=None, log=structlog.get_logger())
    assert membership.shard == WHOLE


@pytest.mark.parametrize("pod_uid", [None, "3f0c8a52-0000-4000-8000-000000000001"])
async def test_a_lease_belongs_to_its_pod(member, admin, pod_uid):
    """The Lease of an operator that runs in a pod is deleted with the pod, though no other operator is left."""
    await (await member("owned", pod_uid=pod_uid)).membership.beat()
    metadata = admin.session.get(f"{admin.url}{LEASES}/owned", timeout=10).json()["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "owned", "uid": pod_uid}
    assert metadata.get("ownerReferences", []) == ([owner] if pod_uid else [])
