"""What stands around the templates: what Artifact Hub shows, values for chart-testing, and notes for upgrades."""

import subprocess

import pytest
import yaml

from devstack import helm
from devstack.home import ROOT, user_environment
from tests.charts.cases import CHART, STORES
from tests.charts.rendering import helm_environment

CHARTS = [pytest.param(chart, id=chart.name) for chart in (CHART, STORES)]
CI = [*(CHART / "ci").glob("*-values.yaml"), *(STORES / "ci").glob("*-values.yaml")]


def about(chart):
    """Give what a chart says of itself."""
    return yaml.safe_load((chart / "Chart.yaml").read_text())


@pytest.mark.parametrize("chart", CHARTS)
def test_what_artifact_hub_shows(chart):
    """A chart names its licence, its category, its home, its sources and who keeps it."""
    said = about(chart)
    assert said["annotations"]["artifacthub.io/license"] == "Apache-2.0"
    assert "artifacthub.io/category" in said["annotations"]
    assert said["home"] in said["sources"]
    assert all(one["name"] and one["url"] for one in said["maintainers"])
    assert yaml.safe_load(said["annotations"]["artifacthub.io/links"])


def test_artifact_hub_knows_the_resource():
    """The platform's chart says that it is an operator, of which resource, and gives an example that fits the definition."""
    annotations = about(CHART)["annotations"]
    assert annotations["artifacthub.io/operator"] == "true"
    crd = yaml.safe_load((ROOT / "crds" / "checkouts.yaml").read_text())["spec"]
    (shown,) = yaml.safe_load(annotations["artifacthub.io/crds"])
    version = crd["versions"][0]["name"]
    assert (shown["kind"], shown["version"]) == (crd["names"]["kind"], version)
    assert shown["name"] == f"{crd['names']['plural']}.{crd['group']}"
    (example,) = yaml.safe_load(annotations["artifacthub.io/crdsExamples"])
    assert example["apiVersion"] == f"{crd['group']}/{version}"
    fields = crd["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert set(example["spec"]) <= set(fields)
    assert "idempotencyKey" in example["spec"]  # without one, whoever applies it again buys again


@pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
def test_values_for_chart_testing(values):
    """Every file in `ci/` passes `helm lint --strict`, which is what `ct lint` runs."""
    program = str(helm.find(user_environment(), print))
    command = [program, "lint", "--strict", "--kube-version", "1.35.0", str(values.parent.parent), "-f", str(values)]
    done = subprocess.run(command, env=helm_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_chart_testing_finds_both_charts():
    """`ct` looks where the charts are, and at both."""
    config = yaml.safe_load((ROOT / "ct.yaml").read_text())
    found = {path.parent for folder in config["chart-dirs"] for path in (ROOT / folder).glob("*/Chart.yaml")}
    assert found == {CHART, STORES}


def test_every_version_has_notes():
    """UPGRADING.md has a section for the chart's own version, the newest first."""
    lines = (CHART / "UPGRADING.md").read_text().splitlines()
    versions = [line.removeprefix("## ").split()[0] for line in lines if line.startswith("## ")]
    assert versions[0] == about(CHART)["version"]
