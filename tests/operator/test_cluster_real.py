"""What the real API server's answers mean to the operator."""

import asyncio

import pytest
import structlog

from checkout_operator import cluster as module
from checkout_operator import events
from checkout_operator.clock import ServerClock
from checkout_operator.cluster import Cluster, ClusterUnavailable, Refused
from checkout_operator.credentials import Credentials
from checkout_operator.permissions import Permissions
from checkout_operator.selectors import LabelSelector
from checkout_operator.spec import parse
from checkout_operator.status import project
from checkout_operator.telemetry import Metrics
from tests.kube import MOUSE
from tests.operator.views import at

pytestmark = pytest.mark.real


@pytest.fixture
async def cluster(as_operator):
    """The operator's client of it, with the operator's own rights."""
    cluster = Cluster(await Credentials.load(), Permissions(Metrics(), structlog.get_logger()), ServerClock(Metrics()))
    yield cluster
    await cluster.close()


@pytest.fixture
def first(admin):
    """A Checkout that a user applied."""
    return parse(admin.get(admin.apply(userId=7, items=MOUSE)))


async def test_a_status_is_written(admin, cluster, first, view):
    """What is written is what the resource shows; a later status replaces lists and removes what it does not have."""
    for version, paid in ((3, view), (4, view)):
        status = project(paid, 1) | {"sagaVersion": version}
        assert await cluster.replace_status(at(first.name), status)
        assert admin.status(first.name) == status
    status = {"phase": "Pending", "sagaVersion": 5}
    assert await cluster.replace_status(at(first.name), status)
    assert admin.status(first.name) == status
    assert await cluster.replace_status(at(first.name), {})
    assert admin.status(first.name) == {}


async def test_what_the_rules_forbid(admin, cluster, first):
    """A status that goes back is refused with the rule's own words, and so is a mirror with another name."""
    assert await cluster.replace_status(at(first.name), {"sagaVersion": 5})
    with pytest.raises(Refused, match="sagaVersion"):
        await cluster.replace_status(at(first.name), {"sagaVersion": 4})
    mirror = {"userId": 7, "managedBy": "mirror", "checkoutId": "b3b5a1ac-1111-4222-8333-444455556666"}
    body = {
        "apiVersion": "cartwright.dev/v1alpha1",
        "kind": "Checkout",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": mirror,
    }
    with pytest.raises(Refused, match="co-"):
        await cluster.create(body)
    body["metadata"]["name"] = f"co-{mirror['checkoutId']}"
    created = await cluster.create(body)
    assert parse(created).spec.mirror_of == mirror["checkoutId"]
    assert await cluster.create(body) is None
    assert await cluster.delete(at(created["metadata"]["name"]), created["metadata"]["uid"])


async def test_another_resource_of_the_name(admin, cluster, first):
    """A status is for the resource with its uid: one that was created since under the same name never shows it."""
    assert await cluster.replace_status(at(first.name), {"phase": "Pending"}, first.uid)
    with pytest.raises(Refused):
        await cluster.replace_status(at(first.name), {"phase": "Paying"}, "another")
    assert admin.status(first.name) == {"phase": "Pending"}


async def test_what_is_gone(admin, cluster, first):
    """Only the resource with this uid is deleted; what is gone is neither written nor deleted again."""
    assert await cluster.delete(at(first.name), "another") is False
    assert admin.get(first.name)
    assert await cluster.delete(at(first.name), first.uid)
    assert await cluster.delete(at(first.name), first.uid) is False
    assert await cluster.replace_status(at(first.name), {"phase": "Pending"}) is False
    assert admin.get(first.name) is None


async def test_all_are_listed(admin, cluster, monkeypatch):
    """All resources are listed, also where they need several pages."""
    names = {admin.apply(userId=7, items=MOUSE) for _ in range(5)}
    monkeypatch.setattr(module, "PAGE", 2)
    assert names <= {body["metadata"]["name"] async for body in cluster.list_all("default", LabelSelector())}


async def test_an_event_once(admin, cluster, first):
    """An event that is created twice is there once."""
    event = events.Event("9-ended", events.Type.WARNING, "OutOfStock", "no", "2026-01-01T00:00:00Z")
    for _ in range(2):
        assert await cluster.create_event(events.body(first, event))
    found = admin.session.get(f"{admin.url}/api/v1/namespaces/default/events", timeout=10).json()["items"]
    assert [one["reason"] for one in found if one["involvedObject"]["uid"] == first.uid] == ["OutOfStock"]


async def test_the_event_of_a_long_name(admin, cluster):
    """A resource with the longest name has events too, though an event's name is no longer than the resource's."""
    name = "x" * 250 + ".yz"
    assert admin.create({"userId": 7, "items": MOUSE}, name).ok
    longest = parse(admin.get(name))
    event = events.Event("9-ended", events.Type.WARNING, "OutOfStock", "no", "2026-01-01T00:00:00Z")
    assert await cluster.create_event(events.body(longest, event))
    found = admin.session.get(f"{admin.url}/api/v1/namespaces/default/events", timeout=10).json()["items"]
    assert [one["reason"] for one in found if one["involvedObject"]["uid"] == longest.uid] == ["OutOfStock"]


async def test_without_credentials(cluster):
    """A token that the API server does not take is no outcome: the call may be repeated with the next token."""
    cluster._api.configuration.api_key["BearerToken"] = "bearer of nothing"
    with pytest.raises(ClusterUnavailable, match="401"):
        await cluster.replace_status(at("first"), {"phase": "Pending"})


async def test_many_at_once(admin, cluster, view):
    """Writes that are under way at the same time do not disturb each other."""
    names = [admin.apply(userId=7, items=MOUSE) for _ in range(20)]
    statuses = [project(view, 1) | {"orderId": name} for name in names]
    written = await asyncio.gather(
        *(cluster.replace_status(at(name), status) for name, status in zip(names, statuses, strict=True))
    )
    assert all(written)
    assert [admin.status(name)["orderId"] for name in names] == names


async def test_what_has_not_ended(admin, cluster):
    """Those who wait for many resources see which have not ended, whether they have a status or not."""
    names = [admin.apply(userId=7, items=MOUSE) for _ in range(4)]
    for name, phase in zip(names, ("Completed", "Failed", "Paying"), strict=False):
        assert await cluster.replace_status(at(name), {"phase": phase})
    assert admin.unfinished() & set(names) == set(names[2:])
