"""Resources and checkouts of the tests' own making, and an API server that keeps what is written to it."""

import json
import os

import pytest
import structlog
from kubernetes.aio.config import kube_config

from checkout_operator.cache import ResourceCache, mirror_name
from checkout_operator.cluster import ClusterUnavailable, Refused
from checkout_operator.config import Config
from checkout_operator.faults import Faults
from checkout_operator.mirrors import MirrorPolicy
from checkout_operator.projector import Projector
from checkout_operator.reconciler import Reconciler
from checkout_operator.spec import parse
from checkout_operator.status import SagaView, StepView
from checkout_operator.telemetry import Metrics
from checkout_operator.workqueue import WorkQueue
from devstack.home import ROOT
from tests.kube import Kube
from tests.operator.sagas import Sagas

AT = 1_790_000_000_000
CREATED = "2026-01-01T00:00:00Z"


def make_resource(name, *, uid="", status=None, generation=1, **spec):
    """A resource as the watch reports it."""
    metadata = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "creationTimestamp": CREATED}
    body = {"metadata": metadata | {"generation": generation}, "spec": {"userId": 7, "managedBy": "operator"} | spec}
    return parse(body | {"status": status})


class MemoryCluster:
    """Stands in for the client of the API server. `faults` are the errors that the next calls of a verb raise."""

    def __init__(self):
        self.statuses, self.objects, self.events, self.calls = {}, {}, [], []
        self.faults = {}

    def _called(self, verb, name):
        self.calls.append((verb, name))
        if self.faults.get(verb):
            raise self.faults[verb].pop()

    async def replace_status(self, named, status, *_):
        name = named.name
        self._called("status", name)
        known = self.statuses.get(name) or {}
        if "sagaVersion" in status and status["sagaVersion"] < known.get("sagaVersion", 0):
            raise Refused("sagaVersion cannot go back")
        self.statuses[name] = dict(status)
        return True

    async def create(self, body):
        name = body["metadata"]["name"]
        self._called("create", name)
        if name in self.objects:
            return None
        metadata = {"namespace": "default", "uid": f"uid-{name}", "creationTimestamp": CREATED}
        self.objects[name] = body | {"metadata": body["metadata"] | metadata}
        return self.objects[name]

    async def delete(self, named, uid):
        name = named.name
        self._called("delete", name)
        return self.objects.pop(name, None) is not None

    async def list_all(self, namespace, selector):
        self._called("list", "")
        for body in list(self.objects.values()):
            yield body

    async def create_event(self, event):
        name = event["involvedObject"]["name"]
        self._called("event", name)
        self.events.append((name, event["reason"]))
        return True


@pytest.fixture
def cluster():
    """An API server."""
    return MemoryCluster()


@pytest.fixture(scope="session")
def admin(api_server):
    """The API server's admin."""
    return Kube(api_server.home.kubeconfig)


@pytest.fixture
def use(monkeypatch, tmp_path):
    """Have credentials come from a kubeconfig."""

    def use(config):
        path = tmp_path / "kubeconfig"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))

    return use


@pytest.fixture
def as_operator(api_server, use):
    """Use the operator's kubeconfig."""
    use(api_server.home.operator_kubeconfig.read_text())


@pytest.fixture
def forked(monkeypatch):
    """Start operators that are forked from a process that has imported them; multiprocessing hands no path over to that one."""
    from tests.operator.program import Program  # noqa: PLC0415 - it imports the whole operator, which few tests need

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "operator")]))
    return Program


@pytest.fixture
def away():
    """Return the error that a call raises while the API server is away."""
    return lambda: ClusterUnavailable("the API server does not answer")


@pytest.fixture
def make():
    """Give `make_resource`."""
    return make_resource


@pytest.fixture
def mirror():
    """Make the mirror of a checkout."""

    def make(checkout_id, status=None, **spec):
        spec |= {"managedBy": "mirror", "checkoutId": checkout_id}
        return make_resource(mirror_name(checkout_id), status=status, **spec)

    return make


@pytest.fixture
def view():
    """A checkout that is being paid, of the resource `first`; tests replace what matters to them."""
    steps = tuple(StepView(name, "done", 1, AT, AT) for name in ("claim", "reserve"))
    return SagaView(
        id="c1",
        user_id=7,
        key="uid-first",
        from_resource=True,
        resource_name="first",
        saga_step="PAYING",
        reason="",
        note="",
        total_minor=1,
        currency="USD",
        order_id="o1",
        version=3,
        created_ms=AT,
        finished_ms=0,
        steps=(*steps, StepView("pay", "running", 1, AT, 0)),
    )


@pytest.fixture
def config():
    """The settings, as they are by default."""
    return Config()


@pytest.fixture
def cache(make):
    """The resource `first`, known to be the checkout's own."""
    cache = ResourceCache()
    cache.put(make("first"))
    cache.confirm(make("first"))
    return cache


@pytest.fixture
def metrics():
    """What is counted."""
    return Metrics()


@pytest.fixture
def new(cache, cluster, config, metrics):
    """Make a projector with settings of its own."""

    def new(**settings):
        policy, log = MirrorPolicy(cache, config.model_copy(update=settings)), structlog.get_logger()
        return Projector(cache, cluster, policy, faults=Faults(metrics, log), metrics=metrics, log=log)

    return new


@pytest.fixture
def projector(new):
    """A projector."""
    return new()


@pytest.fixture
def sagas(view):
    """The checkout service, with the checkout of `first`."""
    return Sagas({"first": view})


@pytest.fixture
def queue():
    """The work queue."""
    return WorkQueue()


@pytest.fixture
def reconciler(cache, queue, sagas, projector, metrics):
    """A reconciler."""
    log = structlog.get_logger()
    return Reconciler(cache, queue, sagas, projector, faults=Faults(metrics, log), metrics=metrics, log=log)
