"""Who may do what to the cluster, to the letter."""

import json

import yaml

from devstack.home import ROOT

EMPTY = {"apiGroups": ["cartwright.dev"], "resources": [], "verbs": []}
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
ALL = "cartwright-operator.shop"
AUDITOR_OF_ALL = "cartwright-auditor.shop"


def checkouts(*verbs):
    """Give the rule of Checkouts."""
    return {"apiGroups": ["cartwright.dev"], "resources": ["checkouts"], "verbs": list(verbs)}


STATUS = {"apiGroups": ["cartwright.dev"], "resources": ["checkouts/status"], "verbs": ["patch"]}
EVENTS = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
MEMBERS = [LEASES | {"verbs": ["list", "create", "patch", "delete"]}]
WORKS = [checkouts("list", "watch", "create", "delete", "mirror"), STATUS, EVENTS]


def claims(kind, name, *verbs):
    """Give the rules to claim namespaces, whose Lease goes with a role."""
    role = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": [kind], "resourceNames": [name], "verbs": ["get"]}
    lease = LEASES | {"resourceNames": ["checkouts.cartwright.dev"], "verbs": ["get", *verbs]}
    return [lease, LEASES | {"verbs": ["create"]}, role]


def audits(rendering):
    """Give the rules of the auditor's roles, by namespace and name: it lists what the operator watches, where there is one."""
    names = [one for one in rendering.named("Deployment") if one.endswith("-auditor")]
    if not names or not any(one.endswith("-operator") for one in rendering.named("Deployment")):
        return {}
    values = rendering.case.values
    watch, mirrors = values.get("watch", {}), values.get("operator", {}).get("mirror", {}).get("namespace", "shop")
    if watch.get("allNamespaces"):
        return {("", AUDITOR_OF_ALL): [checkouts("list")]}
    return {(one, f"{names[0]}.shop"): [checkouts("list")] for one in {*(watch.get("namespaces") or ["shop"]), mirrors}}


def golden(rendering):
    """Give the rules of the operator's and the test's roles, by namespace and name; no namespace is the whole cluster."""
    names = [one for one in rendering.named("Deployment") if one.endswith("-operator")]
    if not names:
        return {}
    operator = f"{names[0]}.shop"
    of, values = claims("roles", operator), rendering.case.values
    watch, mirrors = values.get("watch", {}), values.get("operator", {}).get("mirror", {}).get("namespace", "shop")
    watched = watch.get("namespaces") or ["shop"]
    if watch.get("allNamespaces"):
        everywhere = [checkouts("list", "watch", "delete"), STATUS, EVENTS]
        wanted = {("", ALL): everywhere + claims("clusterroles", ALL, "list")}
        wanted["mirrors", operator] = [checkouts("create", "mirror")]
    else:
        wanted = {(one, operator): [checkouts("list", "watch", "delete"), STATUS, EVENTS, *of] for one in watched}
        wanted[mirrors, operator] = [*WORKS, *of] if mirrors in watched else [*WORKS[:2], *of]
    where = watched[0] if "shop" not in watched else "shop"
    if values.get("operator", {}).get("replicas", 1) > 1:
        wanted["shop", f"{names[0]}-leases"] = MEMBERS
    return wanted | {(where, f"{operator.removesuffix('operator.shop')}test"): tried(rendering)}


def tried(rendering):
    """Give the rights of the chart's test: it may buy for its own user alone, or cancel where that is what it tries."""
    (pod,) = (one for one in rendering.of("Pod") if one["metadata"]["name"].endswith("-test"))
    spec = next(json.loads(one["value"]) for one in pod["spec"]["containers"][0]["env"] if one["name"] == "SPEC")
    verb = "cancel" if spec.get("cancelRequested") else "buy"
    shopper = {"resources": ["shoppers"], "resourceNames": [str(spec["userId"])], "verbs": [verb]}
    return [checkouts("get", "create", "delete"), {"apiGroups": ["cartwright.dev"]} | shopper]


def place(one):
    """Give the namespace and the name of an object."""
    return one["metadata"].get("namespace", "shop" if "Cluster" not in one["kind"] else ""), one["metadata"]["name"]


def test_rights_are_these_and_no_more(rendering):
    """The operator, the auditor and the chart's test have the rights listed here, where they are needed; operators that share the work have their Leases; nobody else has any."""
    wanted = golden(rendering) | audits(rendering)
    aggregated = [one for one in rendering.of("ClusterRole") if one["metadata"]["name"] not in {ALL, AUDITOR_OF_ALL}]
    assert bool(aggregated) is rendering.case.values.get("rbac", {}).get("aggregateClusterRoles", False)
    roles = [one for one in rendering.of("Role", "ClusterRole") if one not in aggregated]
    assert {place(one): one["rules"] for one in roles} == wanted
    bound = rendering.of("RoleBinding", "ClusterRoleBinding")
    assert {place(one) for one in bound} == set(wanted)
    for one in bound:
        namespace, name = place(one)
        kind = "Role" if namespace else "ClusterRole"
        account = name.removesuffix(".shop").removesuffix("-leases")
        assert one["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        assert one["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "shop"}]


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
    """The operator's rights on devstack's API server are those of the chart, but for claims: it is alone there."""
    named = {"operator-rbac": WORKS, "operator-leases-rbac": MEMBERS, "auditor-rbac": [checkouts("list")]}
    for name, rules in named.items():
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
