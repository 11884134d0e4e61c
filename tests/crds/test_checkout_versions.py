"""v1beta1 is v1alpha1 by another name: what is written as one is read, selected and watched as the other."""

import json

import pytest
import yaml

from devstack.home import ROOT

pytestmark = pytest.mark.real
OLD, NEW = "v1alpha1", "v1beta1"


def url(api, version):
    """Give where Checkouts of a version are."""
    return api.checkouts.replace(f"/{OLD}/", f"/{version}/")


def read(api, version, name):
    """Give a Checkout as one version shows it, without what names the version."""
    found = api.session.get(f"{url(api, version)}/{name}", timeout=10).json()
    assert found.pop("apiVersion") == f"cartwright.dev/{version}"
    del found["metadata"]["managedFields"]  # each entry names the version it was written with
    return found


def create(api, version, name, spec):
    """Create a Checkout of a version, and give the answer."""
    body = {"apiVersion": f"cartwright.dev/{version}", "kind": "Checkout", "metadata": {"name": name}, "spec": spec}
    return api.session.post(url(api, version), json=body, params={"fieldValidation": "Strict"}, timeout=10)


def test_the_versions_are_the_same():
    """The definition states one schema, with the same columns, fields to select by and status, for both."""
    spec = yaml.safe_load((ROOT / "crds" / "checkouts.yaml").read_text())["spec"]
    old, new = spec["versions"]
    differ = {"name", "storage"}
    assert {key: value for key, value in old.items() if key not in differ} == {
        key: value for key, value in new.items() if key not in differ
    }
    assert [(one["name"], one["storage"]) for one in (old, new)] == [(OLD, True), (NEW, False)]
    assert spec["conversion"] == {"strategy": "None"}


@pytest.mark.parametrize("version", [OLD, NEW])
def test_both_read_the_same(api, version):
    """What is created as either version is read as both, with its defaults and its status, and is stored as v1alpha1."""
    name = f"as-{version}"
    assert create(api, version, name, {"userId": 7}).status_code == 201
    status = {"status": {"phase": "Paying", "sagaVersion": 3}}
    answer = api.session.patch(
        f"{url(api, version)}/{name}/status",
        data=json.dumps(status),
        headers={"Content-Type": "application/merge-patch+json"},
        timeout=10,
    )
    assert answer.ok, answer.text
    assert read(api, OLD, name) == read(api, NEW, name)
    assert read(api, NEW, name)["status"] == status["status"]
    definition = f"{api.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/checkouts.cartwright.dev"
    assert api.session.get(definition, timeout=10).json()["status"]["storedVersions"] == [OLD]


@pytest.mark.parametrize("version", [OLD, NEW])
def test_both_have_the_rules_and_the_columns(api, version):
    """Rules, fields to select by and columns hold for both."""
    refused = create(api, version, "refused", {"userId": 7, "managedBy": "mirror"})
    assert refused.status_code == 422
    assert "set checkoutId to its id" in refused.text
    name = f"selected-{version}"
    assert create(api, version, name, {"userId": 77}).status_code == 201
    found = api.session.get(url(api, version), params={"fieldSelector": "spec.userId=77"}, timeout=10).json()["items"]
    assert name in {one["metadata"]["name"] for one in found}
    shown = api.kubectl("get", f"checkouts.{version}.cartwright.dev", name)
    assert shown.split("\n")[0].split() == ["NAME", "PHASE", "STEP", "PROGRESS", "TOTAL", "ORDER", "AGE"]
