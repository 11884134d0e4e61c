"""Who creates a Checkout without an idempotency key is warned: each creation buys again. A real API server says so."""

import pytest
import yaml

from devstack.home import ROOT
from tests.kube import MOUSE, Kube

pytestmark = pytest.mark.real

ID = "7c1e8400-e29b-41d4-a716-446655440000"
KEYED = {"userId": 1, "idempotencyKey": "k"}


@pytest.fixture(scope="module")
def warned(api, eventually):
    """Give what a creation warns of, once the API server holds the policy."""

    def warned(spec, **more):
        answer = api.try_out(spec, **more)
        assert answer.status_code == 201, answer.text
        return answer.headers.get("Warning", "")

    eventually(lambda: warned({"userId": 1}))
    return warned


@pytest.mark.parametrize(
    "spec", [{"userId": 1}, {"userId": 1, "items": MOUSE}, {"userId": 1, "cancelRequested": False}]
)
def test_without_a_key(warned, spec) -> None:
    """A creation without a key is accepted, with a warning that says what happens and what to do."""
    warning = warned(spec)
    assert "each time this Checkout is created, it buys again" in warning
    assert "Set a key to buy once" in warning


def test_with_a_key(warned) -> None:
    """With a key there is nothing to warn of."""
    assert warned(KEYED) == ""


def test_what_never_buys(warned) -> None:
    """A mirror, as the operator creates it, and what is cancelled from the start are not warned of."""
    assert warned({"userId": 1, "managedBy": "mirror", "checkoutId": ID}, name=f"co-{ID}") == ""
    assert warned({"userId": 1, "cancelRequested": True}) == ""


def test_a_change_is_no_purchase(api, warned) -> None:
    """A change of what exists, its status included, is not warned of."""
    name = api.kept()
    for part, below in (
        ({"spec": {"ttlSecondsAfterFinished": 9}}, ""),
        ({"metadata": {"labels": {"a": "b"}}}, ""),
        ({"status": {"phase": "Pending"}}, "/status"),
    ):
        answer = api.patch(name, part, below)
        assert (answer.status_code, answer.headers.get("Warning")) == (200, None)


def test_where_no_operator_watches(api, warned) -> None:
    """In a namespace that the operator does not watch nothing is bought, and nothing warned of."""
    other = Kube(api.kubeconfig, "kube-system")
    answer = other.create({"userId": 1}, dry_run=True)
    assert (answer.status_code, answer.headers.get("Warning")) == (201, None)


def test_the_examples(api, warned) -> None:
    """Of the examples the one that buys the cart, each time it is created, is warned of, and says so itself."""
    found = {}
    for path in sorted((ROOT / "manifests" / "examples").glob("*.yaml")):
        found[path.stem] = warned(yaml.safe_load(path.read_text())["spec"]) != ""
        assert not found[path.stem] or "has no idempotencyKey" in path.read_text()
    assert found == {"cancelled": False, "cart": True, "checkout": False, "two-products": False}


def test_explain_says_it_first(api) -> None:
    """`kubectl explain` says in the first lines that each creation buys, and what to set."""
    for part, first in (("checkout", "Every creation of a Checkout buys"), ("checkout.spec", "Without idempotencyKey")):
        found = " ".join(api.kubectl("explain", part).partition("DESCRIPTION:")[2].split())
        assert first in found[:120]
        assert "idempotencyKey" in found[:250]
