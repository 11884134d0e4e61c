"""What a component may have of its own: it reaches that component's pods, and no others."""

import itertools
import json

import pytest

from tests.charts.cases import BASE, CHART, COMPONENTS, OWN, Case, merged
from tests.charts.rendering import COMPONENT

NAMES = {
    "services.gateway": "gateway",
    "services.checkout": "checkout",
    "services.checkout.workers.recovery": "checkout-recovery",
    "operator": "operator",
    "migrations": "migrations",
}
AS_THEY_ARE = ("nodeSelector", "tolerations", "affinity", "priorityClassName")


@pytest.fixture(name="apart", params=NAMES)
def apart_fixture(request, extended):
    """Give each component that has everything of its own, in a pod of its own: its values and its pod."""
    rendering = extended["own-deployments"]
    return rendering, COMPONENTS[request.param], rendering.pod(NAMES[request.param])


def main(pod):
    """Give the container that the pod is for."""
    return pod.spec["containers"][0]


def test_scheduling(apart):
    """Where pods run is as the component says."""
    _, own, pod = apart
    assert {name: pod.spec[name] for name in AS_THEY_ARE} == {name: own[name] for name in AS_THEY_ARE}
    if "topologySpreadConstraints" in own:
        (constraint,) = pod.spec["topologySpreadConstraints"]
        assert own["topologySpreadConstraints"][0].items() <= constraint.items()
        labels = constraint["labelSelector"]["matchLabels"]
        assert labels.items() <= pod.labels.items()
        assert labels[COMPONENT] == pod.component


def test_users(apart):
    """A component's user takes the place of that of all, and the rest of the security context stays."""
    _, own, pod = apart
    usual = {"runAsNonRoot": True, "runAsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    assert pod.spec["securityContext"] == usual | own["securityContext"]


def test_labels_and_annotations(apart):
    """Pods, Deployments and service accounts have the component's labels and annotations."""
    rendering, own, pod = apart
    assert own["labels"].items() <= pod.labels.items()
    template = pod.owner["spec"]["template"]["metadata"]
    assert own["annotations"].items() <= template["annotations"].items()
    account = rendering.named("ServiceAccount")[pod.spec["serviceAccountName"]]
    assert own["serviceAccountAnnotations"].items() <= account["metadata"]["annotations"].items()
    if "deploymentLabels" in own:
        assert own["deploymentLabels"].items() <= pod.owner["metadata"]["labels"].items()
        assert pod.owner["metadata"]["annotations"] == own["deploymentAnnotations"]


def test_variables_and_volumes(apart):
    """The component's containers have its variables and mounts, and its pod the volumes and the containers beside them."""
    _, own, pod = apart
    container = main(pod)
    assert own["extraEnv"][0] in container["env"]
    assert container["envFrom"] == own["envFrom"]
    assert own["extraVolumeMounts"][0] in container["volumeMounts"]
    assert pod.spec["volumes"].count(own["extraVolumes"][0]) == 1
    assert pod.spec["initContainers"][0] == own["initContainers"][0]
    assert pod.spec["containers"][1:] == own.get("extraContainers", [])


def test_readiness_and_budgets(extended):
    """How long a pod must be ready and how many may go at once is the component's own."""
    rendering = extended["own-deployments"]
    for name in ("gateway", "checkout", "checkout-recovery", "operator"):
        budget = rendering.named("PodDisruptionBudget")[f"cartwright-{name}"]["spec"]
        assert (budget["minAvailable"], "maxUnavailable" in budget) == ("50%", False)
    for name in ("gateway", "checkout", "checkout-recovery"):
        assert rendering.named("Deployment")[f"cartwright-{name}"]["spec"]["minReadySeconds"] == 7


@pytest.mark.parametrize("case", ["own-sidecars", "own-deployments", "own-no-hook"])
def test_others_have_none_of_it(extended, rendered, case):
    """Components that say nothing of their own are as they would be without the others."""
    usual = {"own-sidecars": "production", "own-deployments": "deployments"}.get(case)
    if not usual:
        assert "/own" not in json.dumps(extended[case].pod("cart").spec)
        return
    for pod in rendered[usual].pods:
        if pod.component not in NAMES.values():
            assert extended[case].pod(pod.component).spec == pod.spec, pod.name


def test_a_worker_beside_its_service(extended):
    """A worker in its service's pod has its own variables and mounts; the pod is the service's."""
    pod = extended["own-sidecars"].pod("checkout")
    containers = {one["name"]: one for one in pod.containers}
    assert OWN["extraEnv"][0] in containers["recovery"]["env"]
    assert OWN["extraVolumeMounts"][0] in containers["recovery"]["volumeMounts"]
    assert OWN["extraEnv"][0] not in containers["relay"]["env"]
    names = [one["name"] for one in pod.spec["volumes"]]
    assert sorted(set(names)) == sorted(names)


def test_a_migration_in_a_pod_has_what_its_service_has(extended):
    """Without the hook the migration has the variables and the mounts of the service that it runs before."""
    containers = {one["name"]: one for one in extended["own-no-hook"].pod("checkout").containers}
    assert OWN["extraEnv"][0] in containers["migrate"]["env"]
    assert list(containers)[:2] == ["first", "migrate"]


def test_what_stands_under_pods_is_for_all(extended):
    """What stands under `pods` reaches every component; containers beside them, those of Deployments alone."""
    rendering = extended["own-for-all"]
    for pod in rendering.pods:
        assert pod.spec["nodeSelector"] == OWN["nodeSelector"], pod.name
        if pod.component == "test":
            continue
        assert OWN["extraEnv"][0] in main(pod)["env"], pod.name
        assert pod.spec["initContainers"][0]["name"] == "first", pod.name
        assert [one["name"] for one in pod.spec["containers"][1:]] == (["proxy"] if pod.lasts else []), pod.name


def test_maps_are_merged_and_lists_replaced(render):
    """A component's map is merged key by key, null takes a key out, and a list takes the place of that of all."""
    pods = {"annotations": {"a": "1", "b": "1"}, "tolerations": [{"key": "all", "operator": "Exists"}]}
    own = {"annotations": {"b": "2"}, "tolerations": [], "securityContext": {"runAsUser": None}}
    rendering = render(Case(merged(BASE, {"pods": pods, "services": {"cart": own}})))
    cart, orders = rendering.pod("cart"), rendering.pod("orders")
    annotations = cart.owner["spec"]["template"]["metadata"]["annotations"]
    assert (annotations["a"], annotations["b"]) == ("1", "2")
    assert ("tolerations" in cart.spec, orders.spec["tolerations"]) == (False, pods["tolerations"])
    assert "runAsUser" not in cart.spec["securityContext"]
    assert orders.spec["securityContext"]["runAsUser"] == 10001


def test_a_variable_is_there_once(render):
    """A variable of `extraEnv` takes the place of ours and of one of `env`."""
    own = {
        "env": {"LOG_LEVEL": "debug"},
        "extraEnv": [{"name": name, "value": "x"} for name in ("LOG_LEVEL", "HTTP_PORT")],
    }
    container = main(render(Case(merged(BASE, {"services": {"cart": own}}))).pod("cart"))
    names = [one["name"] for one in container["env"]]
    assert sorted(set(names)) == sorted(names)
    assert own["extraEnv"] == container["env"][-2:]


def test_more_objects(extended):
    """Objects of the user's own are installed with the chart, whether written as objects or as text, with templates rendered."""
    found = extended["own-objects"].named("ConfigMap")
    assert found["cartwright-more"]["data"] == {"tag": "20261125"}
    assert "cartwright-text" in found


REFUSED = [
    ("operator", "minReadySeconds", 1),
    ("migrations", "podDisruptionBudget", {}),
    ("migrations", "spreadOver", []),
    ("migrations", "extraContainers", []),
    ("migrations", "minReadySeconds", 1),
    ("services.cart", "extraEnv", [{"name": "A", "value": 1}]),
    ("services.cart", "extraEnv", [{"value": "1"}]),
    ("services.cart", "labels", {"app.kubernetes.io/name": "x"}),
    ("services.cart", "securityContext", {"runAsUser": 0}),
    ("services.cart.workers.consumer", "nodeselector", {}),
    ("services.cart", "podDisruptionBudget", {"maxUnavailable": "some"}),
    ("pods", "topologySpreadConstraints", [{"topologyKey": "zone"}]),
]


@pytest.mark.parametrize(("component", "name", "value"), REFUSED)
def test_what_a_component_may_not_have(render, component, name, value):
    """What means nothing for a component, or is wrong, is refused by its name."""
    values = {name: value}
    for part in reversed(component.split(".")):
        values = {part: values}
    done = render(Case(merged(BASE, values))).done
    assert done.returncode != 0
    assert name in done.stderr


def test_every_setting_was_tried():
    """Every setting under `pods` is among the cases, as a component's own."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    tried = set(itertools.chain.from_iterable(COMPONENTS.values()))
    assert set(schema["properties"]["pods"]["properties"]) - tried == {
        "spreadOver"
    }  # topologySpreadConstraints replaces it
