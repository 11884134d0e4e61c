"""What the chart makes of `watch`, on an API server: rights and policies for what is watched, and for nothing else."""

import itertools
import subprocess
from contextlib import contextmanager

import pytest
import yaml

from checkout_operator.selectors import LabelSelector
from devstack import helm
from devstack.home import ROOT, user_environment
from tests.charts.cases import BASE, CHART, NAMESPACE, SELECTOR, Case, merged
from tests.charts.rendering import helm_environment
from tests.kube import Kube

pytestmark = pytest.mark.real

SPACES = (NAMESPACE, "team-a", "team-b", "mirrors", "elsewhere")
GROUPS = {"checkouts": "cartwright.dev", "events": "", "leases": "coordination.k8s.io", "pods": ""}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "mirror")
WORK = {
    "checkouts": {"list", "watch", "delete"},
    "checkouts/status": {"patch"},
    "events": {"create"},
    "leases": {"create"},
}
MIRRORS = WORK | {"checkouts": {"list", "watch", "create", "delete", "mirror"}, "events": set()}
OWN = WORK | {"checkouts": MIRRORS["checkouts"]}
IN_MIRRORS = {"operator": {"mirror": {"namespace": "mirrors"}}}
SERVED = ("--api-versions", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")
KEPT = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


@pytest.fixture(scope="module", autouse=True)
def elsewhere(server):
    """Make a namespace that nobody watches."""
    server.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}})


@pytest.fixture(scope="module", autouse=True)
def definition(server, eventually):
    """Bring the definition of Checkouts, which other tests of this server delete."""
    server.keep(yaml.safe_load((ROOT / "crds" / "checkouts.yaml").read_text()))
    eventually(lambda: server.kube.session.get(server.kube.checkouts, timeout=10).ok)


@pytest.fixture
def installed(server):
    """Install what the chart makes of values, of some kinds, for as long as a test needs it."""
    program = str(helm.find(user_environment(), print))

    @contextmanager
    def installed(release, values, *kinds):
        command = [program, "template", release, str(CHART), "-n", NAMESPACE, "-f", "-", *SERVED]
        given = yaml.safe_dump(merged(BASE, values))
        done = subprocess.run(command, input=given, env=helm_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made = [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"].startswith(kinds)]
        for one in made:
            server.keep(one)
        yield
        for one in made:
            server.remove(one)

    return installed


def may(server, user, verb, resource, namespace):
    """Ask the API server whether a user may do something with every object of a kind."""
    kind, _, below = resource.partition("/")
    asked = {"group": GROUPS[kind], "resource": kind, "subresource": below, "verb": verb, "namespace": namespace}
    url = f"{server.kube.url}/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer = server.kube.session.post(url, json={"spec": {"user": user, "resourceAttributes": asked}}, timeout=10)
    return answer.json()["status"]["allowed"]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, {NAMESPACE: OWN}),
        ({"watch": {"namespaces": ["team-a", NAMESPACE]}}, {NAMESPACE: OWN, "team-a": WORK}),
        (
            {"watch": {"namespaces": ["team-a", "team-b"]}} | IN_MIRRORS,
            {"team-a": WORK, "team-b": WORK, "mirrors": MIRRORS},
        ),
        ({"watch": {"allNamespaces": True}} | IN_MIRRORS, dict.fromkeys(SPACES, WORK) | {"mirrors": OWN}),
    ],
    ids=["own", "list", "others", "all"],
)
def test_rights_follow_the_watch(server, installed, eventually, values, wanted):
    """The operator's account may do what it needs in each namespace that it watches, and nothing in any other."""
    with installed("watching", values, "Role", "ClusterRole"):
        user = f"system:serviceaccount:{NAMESPACE}:watching-cartwright-operator"
        asked = list(itertools.product(SPACES, ("checkouts", "checkouts/status", "events", "leases", "pods"), VERBS))
        rights = {one: one[2] in wanted.get(one[0], {}).get(one[1], ()) for one in asked}
        first = next(one for one, given in rights.items() if given)
        eventually(lambda: may(server, user, first[2], first[1], first[0]))
        assert {one: may(server, user, one[2], one[1], one[0]) for one in asked} == rights


@pytest.fixture
def erin(server):
    """Give a namespace's Checkouts as somebody has them who may create and change them, and buy for nobody."""
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "erin"}
    rule = {"apiGroups": ["cartwright.dev"], "resources": ["checkouts"], "verbs": ["create", "patch", "get"]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "changes"}
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "changes"}}
    server.keep(head | {"kind": "ClusterRole", "rules": [rule]})
    server.keep(head | {"kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]})

    def erin(namespace):
        kube = Kube(server.kube.kubeconfig, namespace)
        kube.session.headers["Impersonate-User"] = "erin"
        return kube

    return erin


def refusal(answer):
    """Give what the policy says against a request; empty where it was let in."""
    assert answer.status_code in {200, 201, 403}, answer.text
    return answer.json()["message"].partition("denied request: ")[2] if answer.status_code == 403 else ""


@pytest.mark.parametrize(
    ("values", "covered"),
    [
        ({}, {NAMESPACE}),
        ({"watch": {"namespaces": ["team-a", "team-b"]}} | IN_MIRRORS, {"team-a", "team-b", "mirrors"}),
        ({"watch": {"allNamespaces": True}}, set(SPACES)),
    ],
    ids=["own", "list", "all"],
)
def test_policies_follow_the_watch(installed, erin, eventually, values, covered):
    """Who may buy is asked in each namespace that is watched, and in no other."""
    with installed("checked", values, "ValidatingAdmission"):
        spec = {"userId": 7, "idempotencyKey": "k"}

        def asked():
            return {namespace: refusal(erin(namespace).create(spec, dry_run=True)) for namespace in SPACES}

        def follows():
            said = asked()
            assert {one for one, refused in said.items() if refused} == covered, said
            return said

        # The API server learns of a binding that comes, and of one that has gone, within a moment.
        said = eventually(follows)
        assert all(f"erin may not buy for user 7 in the namespace {one}: no role" in said[one] for one in covered)


LABELS = [
    {},
    {"shop.example/team": "a", "tier": "gold", "ticket": ""},
    {"shop.example/team": "a", "tier": "silver", "ticket": "1", "region": "eu"},
    {"shop.example/team": "b", "tier": "gold", "ticket": "1"},
    {"shop.example/team": "a", "tier": "iron", "ticket": "1"},
    {"shop.example/team": "a", "tier": "gold"},
    {"shop.example/team": "a", "tier": "gold", "ticket": "1", "trial": "yes"},
    {"shop.example/team": "a", "tier": "gold", "ticket": "1", "region": "us"},
]


def test_a_policy_follows_the_selector(server, installed, erin, eventually):
    """Whether a Checkout is watched is decided alike by the API server, by the operator, and by what the policy asks."""
    selector, selected = LabelSelector.model_validate(SELECTOR), [False, True, True, *[False] * 5]
    assert [selector.matches(one) for one in LABELS] == selected
    admin, kube, watched = Kube(server.kube.kubeconfig, "team-b"), erin("team-b"), LABELS[1]
    names = [admin.apply(userId=7, idempotencyKey="k") for _ in LABELS]
    for name, labels in zip(names, LABELS, strict=True):
        admin.change(name, {"metadata": {"labels": labels}})
    listed = admin.session.get(admin.checkouts, params={"labelSelector": str(selector)}, timeout=10).json()["items"]
    assert {one["metadata"]["name"] for one in listed} == {n for n, one in zip(names, selected, strict=True) if one}

    def change(name, labels, **spec):
        """Try to change all labels of one, and more."""
        known = admin.get(name)["metadata"].get("labels", {})
        part = {"metadata": {"labels": dict.fromkeys(known) | labels}} | ({"spec": spec} if spec else {})
        url, headers = f"{kube.checkouts}/{name}", {"Content-Type": "application/merge-patch+json"}
        return refusal(kube.session.patch(url, json=part, params={"dryRun": "All"}, headers=headers, timeout=10))

    values = {"watch": {"namespaces": ["team-b"], "selector": SELECTOR}}
    with installed("selected", values, "ValidatingAdmission"):
        eventually(lambda: change(names[0], watched))
        asked = [change(name, watched) for name in names]
        assert [one.partition(" in the")[0] for one in asked] == [
            "" if one else "erin may not buy for user 7" for one in selected
        ]
        assert [change(name, {}) for name in names] == [""] * len(names)  # whatever loses them is bought by nobody
        assert "may not cancel" in change(names[0], watched, cancelRequested=True)
        assert "may not cancel" in change(names[1], {}, cancelRequested=True)
        assert change(names[0], {}, cancelRequested=True) == ""
        mirror = {"userId": 7, "managedBy": "mirror", "checkoutId": "b3b5a1ac-1111-4222-8333-444455556666"}
        assert admin.create(mirror, f"co-{mirror['checkoutId']}").status_code == 201
        assert "may not mirror" in change(f"co-{mirror['checkoutId']}", watched)
        assert refusal(kube.create({"userId": 7, "idempotencyKey": "k"}, dry_run=True)) == ""
    admin.delete_all()


@pytest.fixture
def lease(server):
    """Have a release claim a namespace for as long as the test runs."""
    made = []

    def lease(namespace, holder):
        one = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "checkouts.cartwright.dev", "namespace": namespace},
            "spec": {"holderIdentity": holder},
        }
        server.keep(one)
        made.append(f"{server.path('coordination.k8s.io/v1', 'Lease', namespace)}/checkouts.cartwright.dev")

    yield lease
    for one in made:
        server.kube.session.delete(one, timeout=10)


@pytest.mark.parametrize(
    ("namespace", "values", "refused"),
    [
        (NAMESPACE, {}, True),
        ("team-a", {}, False),
        ("team-a", {"watch": {"namespaces": ["team-a"]}}, True),
        ("mirrors", IN_MIRRORS, True),
        ("team-a", {"watch": {"allNamespaces": True}}, True),
        ("team-a", {"watch": {"namespaces": ["team-a"]}, "operator": {"enabled": False}}, False),
    ],
)
def test_a_namespace_of_another_release(helm_on, lease, namespace, values, refused):
    """What another release has is not installed for: Helm says whose the namespace is, and what to do."""
    lease(namespace, "eu/cartwright")
    given = yaml.safe_dump(merged(BASE, values))
    words = ("install", "taker", str(CHART), "-n", NAMESPACE, "--dry-run=server", "--set", "crds.enabled=false")
    done = helm_on(*words, "-f", "-", given=given)
    assert (done.returncode != 0) is refused, done.stderr
    if refused:
        assert f"The namespace {namespace} belongs to the release eu/cartwright, by its Lease" in done.stderr
        assert f"kubectl -n {namespace} delete lease checkouts.cartwright.dev" in done.stderr
    lease(namespace, f"{NAMESPACE}/taker-cartwright")
    assert helm_on(*words, "-f", "-", given=given).returncode == 0


def test_the_charts_own_test_is_watched(render):
    """`helm test` applies its Checkout where it is watched, with the labels for that."""
    values = {"watch": {"namespaces": ["team-a", "team-b"], "selector": SELECTOR}}
    rendering = render(Case(merged(BASE, values)))
    (pod,) = rendering.of("Pod")
    env = {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}
    assert env["NAMESPACE"] == "team-a"
    assert LabelSelector.model_validate(SELECTOR).matches(yaml.safe_load(env["LABELS"]))
