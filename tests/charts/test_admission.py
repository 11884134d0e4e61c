"""The warning for a Checkout without an idempotency key: where it is installed, what it is called, and that it works."""

import subprocess

import pytest
import yaml

from devstack import helm
from devstack.home import ROOT, user_environment
from tests.charts.cases import CHART, DEV, NAMESPACE
from tests.charts.rendering import KUBERNETES
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
        done = subprocess.run(command, env=user_environment(), capture_output=True, text=True, check=True)
        return [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] in KINDS]

    return policies


def test_where_it_is_installed(policies):
    """It is there unless somebody turns it off, there is no operator, or the API server does not know its kind."""
    assert {one["kind"] for one in policies()} == KINDS
    for words in (["--set", "admission.warnWithoutKey=false"], ["--set", "operator.enabled=false"]):
        assert policies(*words) == []
    assert policies(served=False) == []


def test_releases_do_not_collide(policies):
    """Policies belong to the whole cluster; no two releases have one of the same name."""
    places = [("cartwright", "a"), ("cartwright", "b"), ("b-cartwright", "a"), ("cartwright", "a-b"), ("eu", "a")]
    names = [one["metadata"]["name"] for release, space in places for one in policies(release=release, namespace=space)]
    assert all(len(name) <= 253 for name in names)
    assert len(set(names)) == len(places)


def test_it_is_that_of_devstack(policies):
    """The policy of `make up` is the chart's: the same rule, the same words, and the namespace that is watched."""
    ours = list(yaml.safe_load_all((ROOT / "manifests" / "admission.yaml").read_text()))
    theirs = policies(namespace="default")
    assert ours[0]["spec"] == theirs[0]["spec"]
    assert ours[1]["spec"] | {"policyName": ""} == theirs[1]["spec"] | {"policyName": ""}


@pytest.mark.real
def test_it_warns(policies, server, eventually):
    """On an API server it warns in the release's namespace, refuses nothing, and names the policy of the release."""
    for one in policies(release="warned"):  # a name that no other test of this server installs
        assert server.complaints(one) == []
        server.keep(one)
    kube = Kube(server.kube.kubeconfig, NAMESPACE)

    def create(spec):
        answer = kube.create(spec, dry_run=True)
        assert answer.status_code == 201, answer.text
        return answer.headers.get("Warning", "")

    told = eventually(lambda: create({"userId": 1}))
    assert "it buys again" in told
    assert f"{NAMESPACE}.warned-cartwright-checkout-key" in told
    assert create({"userId": 1, "idempotencyKey": "k"}) == ""
