"""Every object of every case, shown to a Kubernetes API server of our own: nothing is kept, and everything is checked."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack.client import Stack
from devstack.home import ROOT, Home
from tests.charts.cases import NAMESPACE
from tests.kube import Kube

pytestmark = pytest.mark.real

APPLY = {"Content-Type": "application/apply-patch+yaml"}
STRICT = {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": "helm", "force": "true"}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
SELECTOR = {"type": "object", "properties": {"matchLabels": TEXTS}}
RELABELING = {
    "sourceLabels": {"type": "array", "items": {"type": "string"}},
    "regex": {"type": "string"},
    "action": {"type": "string", "enum": ["keep", "drop", "replace"]},
}
ENDPOINT = {
    "port": {"type": "string"},
    "path": {"type": "string"},
    "interval": {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"},
    "relabelings": {"type": "array", "items": {"type": "object", "properties": RELABELING}},
}


def monitor(kind, endpoints):
    """Give the definition of a resource of Prometheus' operator, with the fields that the chart may use."""
    plural = f"{kind.lower()}s"
    listed = {"type": "array", "items": {"type": "object", "properties": ENDPOINT, "required": ["port"]}}
    spec = {"type": "object", "required": ["selector"], "properties": {"selector": SELECTOR, endpoints: listed}}
    version = {"name": "v1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


class Server:
    """An API server with a namespace that is held to the strictest of the pod security standards."""

    def __init__(self, stack, eventually):
        self.kube = Kube(stack.home.kubeconfig)
        self.paths = {}
        held = {f"pod-security.kubernetes.io/{how}": "restricted" for how in ("enforce", "warn")}
        self.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": held}})
        self.keep(monitor("ServiceMonitor", "endpoints"))
        self.keep(monitor("PodMonitor", "podMetricsEndpoints"))
        eventually(lambda: self.path("monitoring.coreos.com/v1", "ServiceMonitor"))
        eventually(lambda: self.path("monitoring.coreos.com/v1", "PodMonitor"))

    def path(self, version, kind):
        """Give where objects of a kind are, as the server itself says."""
        if (version, kind) not in self.paths:
            base = f"{self.kube.url}/{'api' if version == 'v1' else 'apis'}/{version}"
            for one in self.kube.session.get(base, timeout=10).json().get("resources", ()):
                if "/" not in one["name"]:
                    space = f"/namespaces/{NAMESPACE}" if one["namespaced"] else ""
                    self.paths[version, one["kind"]] = f"{base}{space}/{one['name']}"
        return self.paths[version, kind]

    def apply(self, one, **query):
        """Apply an object, and give the server's answer."""
        url = f"{self.path(one['apiVersion'], one['kind'])}/{one['metadata']['name']}"
        return self.kube.session.patch(url, data=json.dumps(one), params=query, headers=APPLY, timeout=30)

    def keep(self, one):
        """Apply an object that the checks need."""
        answer = self.apply(one, fieldManager="tests")
        assert answer.status_code in {200, 201}, answer.text

    def complaints(self, one):
        """Give what the server has against an object: nothing of it is kept."""
        answer = self.apply(one, **STRICT)
        warned = [answer.headers["Warning"]] if "Warning" in answer.headers else []
        return warned if answer.ok else [*warned, answer.json()["message"]]


@pytest.fixture(name="server", scope="module")
def server_fixture(eventually):
    """An API server of its own."""
    home = Home(ROOT / ".cartwright" / "test_charts")
    Stack(home).down()
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, only={"etcd", "apiserver"})
    yield Server(stack, eventually)
    stack.down()


def pod(made):
    """Give the pod that a controller would make of a template."""
    metadata = {"name": made.owner["metadata"]["name"], "labels": made.labels}
    claims = [one["metadata"]["name"] for one in made.owner["spec"].get("volumeClaimTemplates", ())]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    spec = {**made.spec, "volumes": [*made.spec.get("volumes", ()), *volumes]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def refused(server, objects):
    """Show objects to the server, each but once, and give what it has against any, by the cases that it is in."""
    cases = {}
    for case, one in objects:
        cases.setdefault(json.dumps(one, sort_keys=True), []).append(case)
    assert cases
    with ThreadPoolExecutor(8) as pool:
        told = zip(cases.items(), pool.map(lambda text: server.complaints(json.loads(text)), cases), strict=True)
        return [f"{', '.join(those)}: {json.loads(text)['kind']}: {said}" for (text, those), said in told if said]


def test_objects_are_as_kubernetes_wants_them(server, rendered, stores):
    """The API server takes every object of every case, with each of its fields, and warns of none."""
    objects = [(case, one) for case, rendering in rendered.items() for one in rendering.objects]
    assert refused(server, [*objects, *(("stores", one) for one in stores.objects)]) == []


def test_pods_are_let_in_where_the_strictest_rules_hold(server, rendered, stores):
    """The API server lets every pod of every case into a namespace that is held to the restricted standard."""
    pods = [(case, pod(one)) for case, rendering in rendered.items() for one in rendering.pods]
    assert refused(server, [*pods, *(("stores", pod(one)) for one in stores.pods)]) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda spec: spec["securityContext"].update(runAsNonRoot=False), "violates PodSecurity"),
        (lambda spec: spec["containers"][0].pop("securityContext"), "violates PodSecurity"),
        (lambda spec: spec["containers"][0].update(readynessProbe={}), "readynessProbe"),
        (lambda spec: spec["containers"][0]["env"].append({"name": "APP_ENV", "value": "dev"}), "duplicate"),
    ],
    ids=["root", "capabilities", "typing-error", "twice"],
)
def test_the_server_looks(server, rendered, change, said):
    """A pod that may more than it needs, a field that does not exist and a name that is there twice are each refused."""
    one = json.loads(json.dumps(pod(rendered["production"].pod("cart"))))
    change(one["spec"])
    assert said in " ".join(server.complaints(one))
