"""A missing right is seen, in the words of a Role."""

import json
from types import SimpleNamespace

import pytest
import structlog
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from checkout_operator import permissions as module
from checkout_operator.health import Health
from checkout_operator.permissions import LASTING_SECONDS, Permissions, right_for
from checkout_operator.telemetry import Metrics

CHECKOUTS = "https://k/apis/cartwright.dev/v1alpha1/namespaces/shop/checkouts"
NO_RIGHT = b'{"message": "checkouts.cartwright.dev is forbidden: User \\"o\\" cannot patch resource \\"checkouts/status\\" in API"}'


@pytest.mark.parametrize(
    ("method", "url", "words"),
    [
        ("GET", f"{CHECKOUTS}?limit=500", "list checkouts in the namespace shop"),
        ("GET", f"{CHECKOUTS}?watch=true&allowWatchBookmarks=true", "watch checkouts in the namespace shop"),
        ("GET", f"{CHECKOUTS}/first", "get checkouts in the namespace shop"),
        ("POST", CHECKOUTS, "create checkouts in the namespace shop"),
        ("DELETE", f"{CHECKOUTS}/first", "delete checkouts in the namespace shop"),
        ("PATCH", f"{CHECKOUTS}/first/status", "patch checkouts/status in the namespace shop"),
        ("POST", "https://k/api/v1/namespaces/shop/events", "create events in the namespace shop"),
        ("GET", "https://k/apis/cartwright.dev/v1alpha1/checkouts", "list checkouts in the cluster"),
        ("GET", "https://k/api/v1/namespaces/shop", "get namespaces in the cluster"),
        ("GET", "https://k/apis/cartwright.dev/v1alpha1", "get /apis/cartwright.dev/v1alpha1 in the cluster"),
        ("GET", "https://k/version", "get /version in the cluster"),
        ("GET", "https://r/k8s/clusters/c/api/v1/namespaces/shop/events", "list events in the namespace shop"),
    ],
)
def test_the_right_that_a_request_needs(method, url, words):
    """A request's method and path name the right, also below a path of a proxy's own."""
    assert str(right_for(method, url)) == words


@pytest.fixture
def metrics():
    """What is counted."""
    return Metrics()


@pytest.fixture
def permissions(metrics):
    """What is known of the rights."""
    return Permissions(metrics, structlog.get_logger())


@pytest.fixture
def answer(permissions):
    """Record an answer to a status that is written."""

    async def answer(status, body=b"{}"):
        async def read():
            return body

        await permissions.record("PATCH", f"{CHECKOUTS}/first/status", status, read)
        return permissions.missing()

    return answer


async def test_a_right_is_missing_until_it_is_given(answer):
    """A refused right is missing until the same request gets past it; an answer that says nothing of rights changes nothing."""
    missing = ["patch checkouts/status in the namespace shop"]
    assert await answer(200) == []
    assert await answer(403, NO_RIGHT) == missing
    for status in (401, 429, 500, 503):
        assert await answer(status) == missing
    assert await answer(403, NO_RIGHT) == missing
    assert await answer(422) == []  # what is refused for what it says was allowed to be said


@pytest.mark.parametrize(
    "words",
    [
        b"ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no",
        b"exceeded quota: one",
        b"unable to create new content in namespace shop because it is being terminated",
    ],
)
async def test_a_refusal_that_is_about_no_right(answer, words):
    """What admission, a quota or a namespace that ends refuses is no right that a Role could give."""
    assert await answer(403, words) == []


async def test_it_is_shown(answer, permissions, metrics):
    """The page of readiness and a metric name the missing right; neither has the operator restarted."""
    health = Health(metrics, permissions)
    health.ready.set()
    await answer(403, NO_RIGHT)
    page = await health._ready(None)
    assert page.status == 503
    assert "patch checkouts/status in the namespace shop" in page.text
    assert (await health._health(None)).status == 200
    line = 'checkout_operator_missing_rights{resource="checkouts/status",target_namespace="shop",verb="patch"}'
    assert f"{line} 1.0" in generate_latest(metrics.registry).decode()
    await answer(200)
    assert (await health._ready(None)).status == 200
    assert f"{line} 0.0" in generate_latest(metrics.registry).decode()


async def test_the_log_tells_of_a_refusal_that_lasts(metrics, monkeypatch):
    """An API server that starts refuses everything for a second, which is no missing right; what is refused for longer is told once."""
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def read():
        return NO_RIGHT

    async def answer(after, status):
        now[0] += after
        await permissions.record("PATCH", f"{CHECKOUTS}/first/status", status, read)

    with capture_logs() as logs:
        permissions = Permissions(metrics, structlog.get_logger())
        for after, status in ((0.0, 403), (1.0, 403), (0.1, 200), (10.0, 403), (1.0, 403)):
            await answer(after, status)
        assert logs == []
        for after, status in ((LASTING_SECONDS, 403), (1.0, 403), (1.0, 200)):
            await answer(after, status)
    assert [one["log_level"] for one in logs] == ["error", "info"]
    assert {one["right"] for one in logs} == {"patch checkouts/status in the namespace shop"}


@pytest.fixture
def tried(permissions):
    """Record answers to requests in a namespace; a status of 403 is about the right."""

    async def read():
        return NO_RIGHT

    async def tried(namespace, *answers):
        where = f"https://k/apis/cartwright.dev/v1alpha1{namespace and '/namespaces/'}{namespace}"
        lease = where.replace("cartwright.dev/v1alpha1", "coordination.k8s.io/v1")
        requests = {
            "list": ("GET", f"{where}/checkouts?limit=250"),
            "lease": ("GET", f"{lease}/leases/checkouts.cartwright.dev"),
            "status": ("PATCH", f"{where}/checkouts/first/status"),
        }
        for request, status in answers:
            await permissions.record(*requests[request], status, read)

    return tried


ALLOWED = ("lease", 404), ("list", 200)
SHUT = ("lease", 403), ("list", 403)


@pytest.mark.parametrize(
    ("first", "other", "hindered"),
    [
        (ALLOWED, SHUT, False),  # there since before the operator began
        (SHUT, ALLOWED, False),
        (ALLOWED, (*ALLOWED, ("status", 403), ("list", 403)), False),  # deleted while it is watched
        (ALLOWED, (*ALLOWED, ("list", 403), ("lease", 403)), False),
        (ALLOWED, (*SHUT, ("list", 403), ("list", 403)), False),  # it is tried again and again
        (ALLOWED, (("list", 403),), False),  # an operator that claims nothing
        (SHUT, SHUT, True),  # every one
        (ALLOWED, (("lease", 200), ("list", 403)), True),  # one verb
        (ALLOWED, (*ALLOWED, ("list", 403), ("lease", 200), ("list", 403)), True),
        (ALLOWED, (*ALLOWED, ("status", 403)), True),
        ((*ALLOWED, *SHUT), (*ALLOWED, *SHUT), True),
    ],
)
async def test_a_namespace_without_any_right(tried, permissions, metrics, first, other, hindered):
    """A namespace that is gone has no rights: it is named, and hinders nothing while another one is watched. One verb does."""
    await tried("shop", *first)
    await tried("gone", *other)
    health = Health(metrics, permissions)
    health.ready.set()
    page = await health._ready(None)
    assert page.status == (503 if hindered else 200)
    assert json.loads(page.body) == {
        "status": "forbidden" if hindered else "ok",
        "missing_rights": permissions.missing(),
    }
    assert permissions.missing()


async def test_a_right_of_the_whole_cluster_hinders(tried, permissions):
    """An operator of all namespaces that may not list them is not ready."""
    await tried("", ("list", 403))
    assert permissions.is_hindered()
    await tried("", ("list", 200))
    assert not permissions.is_hindered()


async def test_a_namespace_is_made_again(tried, permissions):
    """What is missing in a namespace that is there again hinders as in any other."""
    await tried("shop", *ALLOWED)
    await tried("gone", *SHUT, *ALLOWED)
    assert permissions.missing() == []
    await tried("gone", ("status", 403))
    assert permissions.is_hindered()
