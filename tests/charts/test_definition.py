"""The Checkout resource's definition belongs to one release: a second one is told what to do."""

import json

import pytest
import yaml

from tests.charts.cases import BASE, CHART, merged

pytestmark = pytest.mark.real
NAME = "checkouts.cartwright.dev"
OWNER = ("meta.helm.sh/release-name", "meta.helm.sh/release-namespace")


@pytest.fixture(name="install")
def install_fixture(server, helm_on, eventually):
    """Install releases that wait for nothing, each in a namespace, and give how that ended; the definition is nobody's at first."""
    for namespace in ("first", "second"):
        server.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    _forget(server, eventually)
    values = json.dumps(merged(BASE, {"migrations": {"hook": False}}))

    def install(namespace, *words):
        return helm_on("upgrade", "--install", "shop", str(CHART), "-n", namespace, "-f", "-", *words, given=values)

    yield install
    for namespace in ("second", "first"):
        helm_on("uninstall", "shop", "-n", namespace)
    _forget(server, eventually)


def _url(server):
    return f"{server.kube.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}"


def _forget(server, eventually):
    """Delete the definition, where there is one."""
    server.kube.session.delete(_url(server), timeout=10)
    eventually(lambda: server.kube.session.get(_url(server), timeout=10).status_code == 404, 30)


def test_a_second_release_is_told_what_to_do(install):
    """A release in another namespace is told whose the definition is and what to set; with that it is installed."""
    assert install("first").returncode == 0
    assert install("first").returncode == 0  # an upgrade of the owner
    done = install("second")
    assert done.returncode != 0
    assert "belongs to the release shop in the namespace first" in done.stderr
    assert "--set crds.enabled=false" in done.stderr
    again = install("second", "--set", "crds.enabled=false")
    assert again.returncode == 0, again.stderr


def test_a_definition_can_be_handed_over(install, server):
    """The commands that a release is told make the definition its own."""
    assert install("first").returncode == 0
    told = install("second").stderr
    words = next(line for line in told.splitlines() if "kubectl annotate crd" in line).split()
    annotations = dict(word.split("=") for word in words if word.startswith("meta.helm.sh/"))
    assert tuple(annotations) == OWNER
    patch = {"metadata": {"annotations": annotations, "labels": {"app.kubernetes.io/managed-by": "Helm"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    server.kube.session.patch(_url(server), data=json.dumps(patch), headers=headers, timeout=10).raise_for_status()
    done = install("second")
    assert done.returncode == 0, done.stderr


def test_a_definition_from_elsewhere(install, server, eventually):
    """A definition that was applied without Helm is named as such."""
    server.keep(yaml.safe_load((CHART / "files" / "checkouts.yaml").read_text()))
    eventually(lambda: server.kube.session.get(_url(server), timeout=10).ok)
    done = install("first")
    assert done.returncode != 0
    assert "belongs to no release of Helm" in done.stderr
