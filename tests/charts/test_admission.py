"""The policies for Checkouts: where they are installed, what they are called, and that they work."""

import subprocess

import pytest
import yaml

from devstack import helm
from devstack.home import ROOT, user_environment
from tests.charts.cases import CHART, DEV, NAMESPACE
from tests.charts.rendering import KUBERNETES, helm_environment
from tests.kube import Kube

KINDS = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
SERVED = ("--api-versions", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")


@pytest.fixture(scope="module")
def policies():
    """Give the policy and the binding of a release, as they are on a cluster that serves their kinds, or does not."""
    program = helm.find(user_environment(), print)

    def policies(*words, release="cartwright", namespace=NAMESPACE, served=True):
        command = [str(program), "template", release, str(CHART), "-n", namespace, "--kube-version", KUBERNETES]
        command += ["-f", str(DEV[0]), *words]
        command += SERVED if served else ()
        done = subprocess.run(command, env=helm_environment(), capture_output=True, text=True, check=True)
        return [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] in KINDS]

    return policies


def kinds(found):
    """Give the kinds of objects by the end of their names, which says whose they are."""
    return {end: {one["kind"] for one in found if one["metadata"]["name"].endswith(end)} for end in ("buyer", "key")}


def test_where_they_are_installed(policies):
    """Each is there unless somebody turns it off, there is no operator, or the API server does not know its kind."""
    assert kinds(policies()) == {"buyer": KINDS, "key": KINDS}
    assert kinds(policies("--set", "admission.warnWithoutKey=false")) == {"buyer": KINDS, "key": set()}
    assert kinds(policies("--set", "admission.checkBuyer=false")) == {"buyer": set(), "key": KINDS}
    assert policies("--set", "operator.enabled=false") == []
    assert policies(served=False) == []


def test_releases_do_not_collide(policies):
    """Policies belong to the whole cluster; no two releases have one of the same name."""
    places = [("cartwright", "a"), ("cartwright", "b"), ("b-cartwright", "a"), ("cartwright", "a-b"), ("eu", "a")]
    names = [one["metadata"]["name"] for release, space in places for one in policies(release=release, namespace=space)]
    assert all(len(name) <= 253 for name in names)
    assert len(set(names)) == 2 * len(places)


def test_they_are_those_of_devstack(policies):
    """The policies of `make up` are the chart's: the same rules, the same words, and the namespace that is watched."""

    def specs(found):
        ends = {(one["kind"], one["metadata"]["name"].rpartition("-")[2]): one["spec"] for one in found}
        return {end: spec | ({"policyName": ""} if "policyName" in spec else {}) for end, spec in ends.items()}

    ours = specs(yaml.safe_load_all((ROOT / "manifests" / "admission.yaml").read_text()))
    assert len(ours) == 4
    assert ours == specs(policies(namespace="default"))


@pytest.fixture(name="installed", scope="module")
def installed_fixture(policies, server):
    """Install the policies of a release for the tests of this module."""
    made = policies(release="warned")
    for one in made:
        assert server.complaints(one) == []
        server.keep(one)
    yield
    for one in made:
        server.remove(one)


@pytest.mark.real
def test_it_warns(installed, server, eventually):
    """On an API server one warns in the release's namespace, refuses nothing, and names the policy of the release."""
    kube = Kube(server.kube.kubeconfig, NAMESPACE)

    def create(spec):
        answer = kube.create(spec, dry_run=True)
        assert answer.status_code == 201, answer.text
        return answer.headers.get("Warning", "")

    told = eventually(lambda: create({"userId": 1}))
    assert "it buys again" in told
    assert f"{NAMESPACE}.warned-cartwright-checkout-key" in told
    assert create({"userId": 1, "idempotencyKey": "k"}) == ""


@pytest.mark.real
def test_it_refuses(installed, server, eventually):
    """On an API server the other refuses whoever may create Checkouts in the release's namespace and buy for nobody."""
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "creators"}
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "creators", "namespace": NAMESPACE}}
    rule = {"apiGroups": ["cartwright.dev"], "resources": ["checkouts"], "verbs": ["create"]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "creators"}
    server.keep(head | {"kind": "Role", "rules": [rule]})
    server.keep(head | {"kind": "RoleBinding", "roleRef": role, "subjects": [group]})
    kube = Kube(server.kube.kubeconfig, NAMESPACE)
    kube.session.headers.update({"Impersonate-User": "erin", "Impersonate-Group": "creators"})

    def refusal():
        answer = kube.create({"userId": 7, "idempotencyKey": "k"}, dry_run=True)
        return answer.status_code == 403 and "denied request" in answer.text and answer.json()["message"]

    said = eventually(refusal)
    assert f"{NAMESPACE}.warned-cartwright-checkout-buyer" in said
    assert f"erin may not buy for user 7 in the namespace {NAMESPACE}" in said
