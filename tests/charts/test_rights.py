"""Who may do what to the cluster, to the letter."""

import yaml

from devstack.home import ROOT

CHECKOUTS = {"apiGroups": ["cartwright.dev"], "resources": ["checkouts"]}
GOLDEN = {
    "operator": [
        CHECKOUTS | {"verbs": ["list", "watch", "create", "delete"]},
        {"apiGroups": ["cartwright.dev"], "resources": ["checkouts/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ],
    "test": [CHECKOUTS | {"verbs": ["get", "create", "delete"]}],
}


def test_rights_are_these_and_no_more(rendering):
    """The operator and the chart's test have the rights listed here, in their own namespace; nobody else has any."""
    name = rendering.named("Deployment")
    wanted = GOLDEN if any(one.endswith("-operator") for one in name) else {}
    roles = {one["metadata"]["name"].rpartition("-")[2]: one["rules"] for one in rendering.of("Role")}
    assert roles == wanted
    assert rendering.of("ClusterRole", "ClusterRoleBinding") == []
    bound = {one["metadata"]["name"]: one for one in rendering.of("RoleBinding")}
    assert {one.rpartition("-")[2] for one in bound} == set(wanted)
    for one, binding in bound.items():
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": one}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": one, "namespace": "shop"}]


def test_the_role_is_the_same_beside_a_chart():
    """The operator's rights on devstack's API server are those of the chart."""
    documents = yaml.safe_load_all((ROOT / "manifests" / "operator-rbac.yaml").read_text())
    roles = [one for one in documents if one["kind"] == "Role"]
    assert [one["rules"] for one in roles] == [GOLDEN["operator"]]


def test_each_component_has_an_account(rendering):
    """Every pod that lasts has an account of its own, so that a right can be given to one alone."""
    accounts = rendering.named("ServiceAccount")
    used = [pod.spec["serviceAccountName"] for pod in rendering.pods if pod.lasts]
    assert sorted(set(used)) == sorted(used)
    assert set(used) <= set(accounts)


def test_the_tests_rights_end_with_it(rendering):
    """What `helm test` needs is there for as long as it runs."""
    for one in rendering.objects:
        if one["metadata"]["labels"]["app.kubernetes.io/component"] == "test" and one["kind"] != "NetworkPolicy":
            assert one["metadata"]["annotations"]["helm.sh/hook"] == "test"
            assert (
                one["kind"] == "Pod" or "hook-succeeded" in one["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
            )
