"""Updates under load: no purchase fails, none is lost, whichever pods are replaced meanwhile."""

import subprocess

import pytest

from devstack.home import ROOT
from tests.kind.cluster import RELEASE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
CHART = "charts/cartwright"


@pytest.fixture
def previous(tmp_path):
    """Return the chart as it was: of the last release, or before its last change where there was none."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    assert git("rev-parse", "--is-shallow-repository") == "false", "the history is needed: git fetch --unshallow"
    tags = git("tag", "--list", "v*", "--merged", "HEAD~1", "--sort=-version:refname").split()
    commit = tags[0] if tags else git("log", "--format=%H", "--", CHART).split()[1]
    packed = subprocess.run(["git", "archive", commit, CHART], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=packed, check=True)
    return tmp_path / CHART


def test_every_deployment_is_replaced_under_load(platform, under_load) -> None:
    """A rolling update of every deployment, one after the other, fails no purchase and loses none."""
    stack = platform.stack
    names = [
        one["metadata"]["name"]
        for one in stack.get("deployments", "-l", f"app.kubernetes.io/instance={RELEASE}")["items"]
    ]
    assert len(names) >= 9

    def replace() -> None:
        for name in names:
            stack.kubectl("rollout", "restart", f"deployment/{name}")
            stack.kubectl("rollout", "status", f"deployment/{name}", "--timeout=180s")

    under_load(f"rolling update of {len(names)} deployments", replace)


def test_an_upgrade_from_the_chart_before(platform, previous, under_load) -> None:
    """An upgrade from the chart before, migrations included, fails no purchase and loses none."""
    platform.install_before(previous)
    under_load("helm upgrade from the chart before", platform.install)
