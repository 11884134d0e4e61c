"""Who may do what to the cluster, to the letter."""

import json

import yaml

from devstack.home import ROOT

CHECKOUTS = {"apiGroups": ["cartwright.dev"], "resources": ["checkouts"]}
EMPTY = {"apiGroups": ["cartwright.dev"], "resources": [], "verbs": []}
GOLDEN = {
    "operator": [
        CHECKOUTS | {"verbs": ["list", "watch", "create", "delete", "mirror"]},
        {"apiGroups": ["cartwright.dev"], "resources": ["checkouts/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ],
    "test": [CHECKOUTS | {"verbs": ["get", "create", "delete"]}],
}
LEASES = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list", "create", "patch", "delete"]}
]


def golden(rendering):
    """Give the rights of a rendering: the chart's test may buy for its own user alone, or cancel where that is what it tries."""
    (pod,) = (one for one in rendering.of("Pod") if one["metadata"]["name"].endswith("-test"))
    spec = next(json.loads(one["value"]) for one in pod["spec"]["containers"][0]["env"] if one["name"] == "SPEC")
    verb = "cancel" if spec.get("cancelRequested") else "buy"
    shopper = {"resources": ["shoppers"], "resourceNames": [str(spec["userId"])], "verbs": [verb]}
    several = rendering.case.values.get("operator", {}).get("replicas", 1) > 1
    leases = {"leases": LEASES} if several else {}
    return GOLDEN | leases | {"test": [*GOLDEN["test"], {"apiGroups": ["cartwright.dev"]} | shopper]}


def test_rights_are_these_and_no_more(rendering):
    """The operator, several operators together and the chart's test have the rights listed here, in their own namespace.

    Nobody else has any.
    """
    name = rendering.named("Deployment")
    wanted = golden(rendering) if any(one.endswith("-operator") for one in name) else {}
    roles = {one["metadata"]["name"].rpartition("-")[2]: one["rules"] for one in rendering.of("Role")}
    assert roles == wanted
    assert rendering.of("ClusterRoleBinding") == []
    aggregated = rendering.case.values.get("rbac", {}).get("aggregateClusterRoles", False)
    assert bool(rendering.of("ClusterRole")) is aggregated
    bound = {one["metadata"]["name"]: one for one in rendering.of("RoleBinding")}
    assert {one.rpartition("-")[2] for one in bound} == set(wanted)
    for one, binding in bound.items():
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": one}
        account = one.removesuffix("-leases")
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "shop"}]


def test_the_clusters_own_roles_cover_checkouts(rendered):
    """Where that is asked for, `view` may look at Checkouts, and `edit` and `admin` may buy for everybody.

    Nobody gets the status, and nobody mirrors.
    """
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    may = {"view": set(), "edit": set(), "admin": set()}
    for one in rendered["roles"].of("ClusterRole"):
        given = {(rule["resources"][0], verb) for rule in one["rules"] for verb in rule["verbs"]}
        assert all(
            rule | {"resources": [], "verbs": []} == EMPTY and len(rule["resources"]) == 1 for rule in one["rules"]
        )
        for role in may:
            may[role] |= given if one["metadata"]["labels"].get(prefix + role) == "true" else set()
    look = {("checkouts", verb) for verb in ("get", "list", "watch")}
    change = {("checkouts", verb) for verb in ("create", "update", "patch", "delete", "deletecollection")}
    buy = {("shoppers", "buy"), ("shoppers", "cancel")}
    assert may == {"view": look, "edit": look | change | buy, "admin": look | change | buy}
    names = set(rendered["roles"].named("ClusterRole"))
    assert names == {
        f"shop-cartwright-checkouts-{role}" for role in ("view", "edit")
    }  # one release's, in one namespace


def test_the_role_is_the_same_beside_a_chart():
    """The operator's rights on devstack's API server are those of the chart."""
    for name, rules in (("operator-rbac", GOLDEN["operator"]), ("operator-leases-rbac", LEASES)):
        documents = yaml.safe_load_all((ROOT / "manifests" / f"{name}.yaml").read_text())
        assert [one["rules"] for one in documents if one["kind"] == "Role"] == [rules]


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
