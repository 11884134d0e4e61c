"""Every object of every case, shown to a Kubernetes API server of our own: nothing is kept, and everything is checked."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.charts.cases import CASES, EXTENDED

pytestmark = pytest.mark.real


def pod(made):
    """Give the pod that a controller would make of a template."""
    metadata = {"name": made.owner["metadata"]["name"], "labels": made.labels}
    claims = [one["metadata"]["name"] for one in made.owner["spec"].get("volumeClaimTemplates", ())]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    spec = {**made.spec, "volumes": [*made.spec.get("volumes", ()), *volumes]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture(params=[*CASES, *EXTENDED, "stores"])
def each(request, rendered, extended, stores):
    """Give each case of each chart in turn."""
    if request.param == "stores":
        return stores
    return (extended if request.param in EXTENDED else rendered)[request.param]


def refusals(server, objects):
    """Show objects to the server, and give what it has against any."""
    shown = list(objects)
    with ThreadPoolExecutor(8) as pool:
        told = zip(shown, pool.map(server.complaints, shown), strict=True)
        return [f"{one['kind']}: {said}" for one, said in told if said]


@pytest.fixture(scope="module")
def refused(server):
    """Show objects to the server, each but once however many cases have it, and give what it has against them."""
    shown = set()

    def refused(objects):
        fresh = {json.dumps(one, sort_keys=True) for one in objects} - shown
        shown.update(fresh)
        return refusals(server, map(json.loads, fresh))

    return refused


def test_objects_are_as_kubernetes_wants_them(refused, each):
    """The API server takes every object of a case, with each of its fields, and warns of none."""
    assert each.objects
    told = refused(each.objects)
    assert not told, "\n".join(told)


def test_pods_are_let_in_where_the_strictest_rules_hold(refused, each):
    """The API server lets every pod of a case into a namespace that is held to the restricted standard."""
    told = refused(pod(one) for one in each.pods)
    assert not told, "\n".join(told)


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
