"""Every example is applied with kubectl, as the README has it."""

import subprocess

import pytest

from devstack.home import ROOT

pytestmark = pytest.mark.e2e
EXAMPLES = sorted((ROOT / "manifests" / "examples").glob("*.yaml"))
ENDS = {"cart": "Failed", "cancelled": "Failed"}  # user 1's cart is empty here


@pytest.fixture
def run(kube, platform):
    """Run kubectl, and give what it prints."""

    def run(*words):
        command = [str(platform.kubectl()), f"--kubeconfig={kube.kubeconfig}", f"--namespace={kube.namespace}"]
        command += [f"--cache-dir={kube.kubeconfig.parent / 'kubectl'}"]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=True, timeout=60).stdout

    return run


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example(platform, run, example) -> None:
    """It is accepted, ends as it says, and applying it again changes nothing."""
    platform.shopper().ask("DELETE", "/api/v1/cart", headers={"X-User-Id": "1"})
    run("delete", "--ignore-not-found", "-f", str(example))  # one of before could reach its TTL in the middle
    name = run("apply", "-f", str(example), "-o", "name").strip()
    assert "condition met" in run("wait", "--for=condition=Finished", name, "--timeout=30s")
    row = run("get", name).splitlines()[1].split()
    assert row[1] == ENDS.get(example.stem, "Completed")
    before = platform.sql("SELECT count(*) AS n FROM checkout_sessions")
    assert "unchanged" in run("apply", "-f", str(example))
    assert platform.sql("SELECT count(*) AS n FROM checkout_sessions") == before


def test_explain(run) -> None:
    """`kubectl explain` describes what may be asked."""
    shown = run("explain", "checkout.spec")
    for name in ("userId", "items", "idempotencyKey", "timeoutSeconds", "cancelRequested", "managedBy"):
        assert name in shown
