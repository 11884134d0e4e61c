"""How many of each there are, what becomes of the resource's definition, and what the objects are called."""

import pytest
import yaml

from devstack.home import ROOT
from tests.charts.cases import BANK, BASE, BEHAVIOR, CASES, LONGEST, Case, merged
from tests.charts.rendering import COMPONENT

STATELESS = {"gateway", "console", "product", "cart", "inventory", "payment", "orders", "checkout", "bank"}


def component(one):
    """Give the component of an object."""
    return one["metadata"]["labels"][COMPONENT]


def test_operators_are_as_many_as_told(rendering):
    """There is one operator, or as many as the values say; an update starts a new one before an old one ends, as for every part."""
    for one in rendering.of("Deployment"):
        spec = one["spec"]
        assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        if component(one) == "operator":
            assert spec["replicas"] == rendering.case.values.get("operator", {}).get("replicas", 1)


def test_several_operators_share_the_work(rendered):
    """Several operators have a Lease each, by the name of the pod, and are those of this release; one alone needs none."""

    def settings(case):
        (container,) = rendered[case].pod("operator").spec["containers"]
        return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}

    wanted = {
        "SHARDING": "Leases",
        "MEMBER_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "MEMBER_POD_UID": {"fieldRef": {"fieldPath": "metadata.uid"}},
        "MEMBER_GROUP": "cartwright-operator",
        "LEASE_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
    }
    assert wanted.items() <= settings("operators").items()
    assert not wanted.keys() & settings("production").keys()
    spread = rendered["operators"].pod("operator").spec["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert {one["labelSelector"]["matchLabels"][COMPONENT] for one in spread} == {"operator"}


def test_budgets_are_for_several(rendering):
    """A component has a disruption budget where it has more than one pod: with one alone it would stop a node's drain."""
    least = {component(one): one["spec"]["minReplicas"] for one in rendering.of("HorizontalPodAutoscaler")}
    several = {
        component(one)
        for one in rendering.of("Deployment")
        if least.get(component(one), one["spec"].get("replicas", 0)) > 1
    }
    budgets = {component(one) for one in rendering.of("PodDisruptionBudget")}
    refused = {
        name
        for name, own in rendering.case.values.get("services", {}).items()
        if not own.get("podDisruptionBudget", {}).get("enabled", True)
    }
    assert budgets == several - refused


def test_budgets_are_as_told(rendered):
    """A budget lets one pod go at a time, or is what the values say, for all components or for one."""

    def budgets(case):
        found = {component(one): dict(one["spec"]) for one in rendered[case].of("PodDisruptionBudget")}
        return {name: {key: spec[key] for key in spec if key != "selector"} for name, spec in found.items()}

    usual = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    assert budgets("production") == dict.fromkeys(STATELESS - {"bank", "console"}, usual)
    told = {"unhealthyPodEvictionPolicy": "IfHealthyBudget"}
    wanted = dict.fromkeys(STATELESS - {"bank", "console", "orders"}, told | {"maxUnavailable": "25%"})
    assert budgets("budgets") == wanted | {"cart": told | {"minAvailable": 1}}


def test_an_audit_can_be_made_by_hand(rendered):
    """The CronJob of the audit rests unless told otherwise, and its Job runs the auditor once, as the auditor's account."""
    (rests,) = rendered["production"].of("CronJob")
    assert (rests["metadata"]["name"], rests["spec"]["suspend"]) == ("cartwright-audit", True)
    (told,) = rendered["audits"].of("CronJob")
    assert (told["spec"]["schedule"], told["spec"]["suspend"]) == ("30 2 * * *", False)
    pod = rendered["production"].pod("audit")
    assert [one["args"] for one in pod.containers] == [["services.auditor.main", "once"]]
    assert (pod.spec["serviceAccountName"], pod.spec["restartPolicy"]) == ("cartwright-auditor", "Never")
    assert rendered["no-auditor"].of("CronJob") == []


def test_scaling_is_for_what_keeps_nothing(rendering):
    """An autoscaler stands over services alone, and then nobody else says how many pods there are."""
    deployments = rendering.named("Deployment")
    scaled = set()
    for one in rendering.of("HorizontalPodAutoscaler"):
        target = one["spec"]["scaleTargetRef"]
        deployment = deployments[target["name"]]
        assert (target["apiVersion"], target["kind"]) == ("apps/v1", "Deployment")
        assert component(deployment) in STATELESS
        scaled.add(target["name"])
    assert scaled == {name for name, one in deployments.items() if "replicas" not in one["spec"]}


def test_workers_scale_apart(rendered):
    """A worker with a deployment of its own has as many pods as the values say."""
    deployments = rendered["workers-apart"].named("Deployment")
    assert deployments["cartwright-cart-consumer"]["spec"]["replicas"] == 3
    assert deployments["cartwright-orders-consumer"]["spec"]["replicas"] == 1


def test_new_pods_are_known_before_old_ones_end(rendered):
    """A pod that is called by its name is ready for as long as DNS keeps an answer before an old one ends."""
    deployments = rendered["production"].named("Deployment")
    assert deployments["cartwright-cart"]["spec"]["minReadySeconds"] == 30
    assert "minReadySeconds" not in deployments["cartwright-gateway"]["spec"]


def test_autoscalers_are_as_told(rendered):
    """An autoscaler has the bounds and the aim of the values, for each service that asks for one."""
    for case in ("scaled", "scaled-deployments"):
        found = {component(one): one["spec"] for one in rendered[case].of("HorizontalPodAutoscaler")}
        assert set(found) == STATELESS - {"bank"}
        cart = found["cart"]
        assert (cart["minReplicas"], cart["maxReplicas"]) == (3, 8)
        assert cart["metrics"][0]["resource"] == {
            "name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 200},
        }
    assert rendered["production"].of("HorizontalPodAutoscaler") == []
    (told,) = rendered["scaling-told"].of("HorizontalPodAutoscaler")
    assert told["spec"]["behavior"] == BEHAVIOR
    assert [one["resource"]["name"] for one in told["spec"]["metrics"]] == ["cpu", "memory"]


def test_the_definition_is_the_one_source(rendering):
    """The chart brings the definition of `crds/`, kept at uninstalling unless told otherwise, or none."""
    asked = {"enabled": True, "keep": True} | rendering.case.values.get("crds", {})
    found = rendering.of("CustomResourceDefinition")
    if not asked["enabled"]:
        assert found == []
        return
    source = yaml.safe_load((ROOT / "crds" / "checkouts.yaml").read_text())
    assert found[0]["spec"] == source["spec"]
    kept = {"helm.sh/resource-policy": "keep"} if asked["keep"] else source["metadata"].get("annotations")
    assert found[0]["metadata"].get("annotations") == kept


def test_names_fit(rendering):
    """No name is longer than a label may be, however long the release's is, and none is there twice."""
    names = [(one["kind"], one["metadata"]["name"]) for one in rendering.objects]
    assert [name for kind, name in names if len(name) > 63 and kind != "CustomResourceDefinition"] == []
    places = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendering.objects]
    assert len(set(places)) == len(places)
    for pod in rendering.pods:
        assert all(len(value) <= 63 for value in pod.labels.values())
        assert all(len(one["name"]) <= 15 for container in pod.containers for one in container.get("ports", ()))


def test_two_releases_share_nothing(rendered):
    """Two releases in one namespace have no name in common but that of the resource's definition, and reach only their own."""

    def names(case):
        return {(one["kind"], one["metadata"]["name"]) for one in rendered[case].objects}

    shared = names("bank") & names("other-release")
    assert shared == {("CustomResourceDefinition", "checkouts.cartwright.dev")}
    labels = [rendered["bank"].pod("cart").labels, rendered["other-release"].pod("cart").labels]
    assert labels[0]["app.kubernetes.io/instance"] != labels[1]["app.kubernetes.io/instance"]
    for one in rendered["other-release"].of("NetworkPolicy"):
        assert one["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "eu"


def test_the_longest_release_was_tried():
    """The longest name that Helm takes is among the cases, with workers of their own, whose names are the longest."""
    assert len(LONGEST) == 53
    assert CASES["longest-release"].values["workers"]["mode"] == "deployment"


@pytest.mark.parametrize("release", ["cartwright", "cartwright-eu"])
def test_a_release_named_after_the_chart_is_not_named_twice(render, release):
    """A release that has the chart's name in its own gives its objects that name alone."""
    names = render(Case(merged(BASE, BANK), release=release)).named("Deployment")
    assert f"{release}-checkout" in names
