"""Every object of every case, shown to a Kubernetes API server of our own: nothing is kept, and everything is checked."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.real


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


def test_objects_are_as_kubernetes_wants_them(server, rendered, extended, stores):
    """The API server takes every object of every case, with each of its fields, and warns of none."""
    objects = [(case, one) for case, rendering in (rendered | extended).items() for one in rendering.objects]
    told = refused(server, [*objects, *(("stores", one) for one in stores.objects)])
    assert not told, "\n".join(told)


def test_pods_are_let_in_where_the_strictest_rules_hold(server, rendered, extended, stores):
    """The API server lets every pod of every case into a namespace that is held to the restricted standard."""
    pods = [(case, pod(one)) for case, rendering in (rendered | extended).items() for one in rendering.pods]
    told = refused(server, [*pods, *(("stores", pod(one)) for one in stores.pods)])
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
