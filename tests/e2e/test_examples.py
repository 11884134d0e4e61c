"""Every example is applied with kubectl, as the README has it."""

import pytest

from devstack.home import ROOT

pytestmark = pytest.mark.e2e
EXAMPLES = sorted((ROOT / "manifests" / "examples").glob("*.yaml"))
ENDS = {"cart": "Failed", "cancelled": "Failed"}  # user 1's cart is empty here


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example(platform, kube, example) -> None:
    """It is accepted, ends as it says, and applying it again changes nothing."""
    platform.shopper().ask("DELETE", "/api/v1/cart", headers={"X-User-Id": "1"})
    kube.kubectl("delete", "--ignore-not-found", "-f", str(example))  # one of before could reach its TTL in the middle
    name = kube.kubectl("apply", "-f", str(example), "-o", "name").strip()
    assert "condition met" in kube.kubectl("wait", "--for=condition=Finished", name, "--timeout=30s")
    row = kube.kubectl("get", name).splitlines()[1].split()
    assert row[1] == ENDS.get(example.stem, "Completed")
    before = platform.sql("SELECT count(*) AS n FROM checkout_sessions")
    assert "unchanged" in kube.kubectl("apply", "-f", str(example))
    assert platform.sql("SELECT count(*) AS n FROM checkout_sessions") == before


def test_explain(kube) -> None:
    """`kubectl explain` describes what may be asked."""
    shown = kube.kubectl("explain", "checkout.spec")
    for name in ("userId", "items", "idempotencyKey", "timeoutSeconds", "cancelRequested", "managedBy"):
        assert name in shown
