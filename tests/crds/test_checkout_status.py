"""What a Checkout shows: its status, its columns, its selectors and its descriptions, on a real API server."""

import secrets
import uuid

import pytest
import yaml

from devstack.home import ROOT

pytestmark = pytest.mark.real


def test_a_status_cannot_be_brought_along(api) -> None:
    """Who creates or changes a Checkout cannot set its status."""
    answer = api.create({"userId": 1}, status={"phase": "Completed"}).json()
    assert "status" not in answer
    assert "status" not in api.patch(answer["metadata"]["name"], {"status": {"phase": "Completed"}}).json()


def test_a_saga_version_never_goes_back(api) -> None:
    """An older projection is refused; a forged one can be removed and written again."""
    name = api.kept()
    assert [api.project(name, sagaVersion=version).status_code for version in (3, 3, 4)] == [200, 200, 200]
    stale = api.project(name, sagaVersion=2, phase="Pending")
    assert (stale.status_code, "read the saga again" in stale.text) == (422, True)
    assert api.project(name, sagaVersion=None).ok
    assert api.project(name, sagaVersion=2).json()["status"]["sagaVersion"] == 2


TIME = "2026-01-01T00:00:00Z"
SUCCEEDED = {"type": "Succeeded", "status": "True", "lastTransitionTime": TIME, "reason": "Bought", "message": "Well."}
STATUS = {
    "observedGeneration": 1,
    "checkoutId": "550e8400-e29b-41d4-a716-446655440000",
    "orderId": "7c1e6b0a-1f0e-4b0e-8f0e-3f1d1c0b9a88",
    "orderShort": "7c1e…",
    "phase": "Completed",
    "step": "Confirm",
    "progress": "4/4",
    "steps": [{"name": "Claim", "state": "Done", "attempts": 1, "startedAt": TIME, "finishedAt": TIME, "reason": "x"}],
    "sagaVersion": 7,
    "total": {"amountMinor": 259998, "currency": "USD"},
    "totalDisplay": "2599.98",
    "startedAt": TIME,
    "finishedAt": TIME,
    "conditions": [SUCCEEDED | {"observedGeneration": 1}],
}


def test_a_whole_status_is_kept(api) -> None:
    """Every field of the status is stored as it was written."""
    assert api.project(api.kept(), **STATUS).json()["status"] == STATUS


@pytest.mark.parametrize(
    "status",
    [
        {"steps": [{"name": f"s{number}", "state": "Done"} for number in range(9)]},
        {"steps": [{"name": "Claim", "state": "Done"}] * 2},
        {"conditions": [SUCCEEDED | {"status": "Yes"}]},
        {"conditions": [SUCCEEDED | {"reason": "in words"}]},
        {"conditions": [{"type": "Succeeded", "status": "True"}]},
        {"conditions": [SUCCEEDED] * 2},
        {"total": {"amountMinor": 1}},
        {"sagaVersion": -1},
        {"bogus": 1},
    ],
    ids=["steps", "step", "condition", "reason", "bare", "conditions", "total", "version", "unknown"],
)
def test_a_status_out_of_bounds_is_refused(api, status) -> None:
    """A status that is not what the schema says is refused."""
    assert api.project(api.kept(), **status).status_code in {400, 422}


def test_the_columns(api) -> None:
    """Kubectl shows where a checkout is; more is shown with -o wide."""
    name = api.kept(userId=4711)
    assert api.project(name, **STATUS).ok
    head, row = (line.split() for line in api.kubectl("get", "co", name).splitlines())
    assert head == ["NAME", "PHASE", "STEP", "PROGRESS", "TOTAL", "ORDER", "AGE"]
    assert row[:6] == [name, "Completed", "Confirm", "4/4", "2599.98", "7c1e…"]
    head, row = (line.split() for line in api.kubectl("get", "commerce", name, "-o", "wide").splitlines())
    assert head[7:] == ["SUCCEEDED", "REASON", "USER", "MANAGEDBY", "FINISHED", "ORDERID", "MESSAGE"]
    assert (row[7:11], row[12:]) == (["True", "Bought", "4711", "operator"], [STATUS["orderId"], "Well."])


WIDTH = 100
RUNNING = [("Reserving", "Reserve", "1/4"), ("Paying", "Pay", "2/4"), ("Confirming", "Confirm", "3/4")]


@pytest.mark.parametrize(
    ("rows", "total", "oldest"),
    [
        ([("Completed", "Confirm", "4/4"), ("Failed", "Release", "2/4"), *RUNNING[:2]], "128699.01", "7d23h"),
        ([("Completed", "Confirm", "4/4"), *RUNNING], "99999.98", "7d23h"),
        ([("Compensating", "Release", "2/4"), ("Completed", "Confirm", "4/4")], "2599.98", "729d"),
    ],
    ids=["the largest purchase", "confirming", "compensating"],
)
def test_the_columns_fit(api, rows, total, oldest) -> None:
    """A list fits 100 characters, with the name of a mirror, the longest phase and step, and the oldest age."""
    user = secrets.randbits(62)
    for phase, step, progress in rows:
        name = f"co-{uuid.uuid4()}"  # as mirrors are named, which have the longest names
        assert api.create({"userId": user}, name).ok
        shown = {"phase": phase, "step": step, "progress": progress, "totalDisplay": total}
        assert api.project(name, **STATUS | shown).ok
    lines = api.kubectl("get", "co", "--field-selector", f"spec.userId={user}").splitlines()
    assert len(lines) == len(rows) + 1
    assert "7c1e…" in lines[1]
    assert lines[0].endswith("   AGE")
    assert all(len(line[: lines[0].index("AGE")]) + len(oldest) <= WIDTH for line in lines), lines
    assert all(len(line) <= WIDTH for line in lines), lines


def test_the_field_selectors(api) -> None:
    """Checkouts are found by phase, by user and by who manages them."""
    name, other = api.kept(userId=31), api.kept(userId=32)
    assert api.project(name, phase="Paying").ok
    found = api.kubectl("get", "co", "-o", "name", "--field-selector", "status.phase=Paying,spec.userId=31")
    assert found.split() == [f"checkout.cartwright.dev/{name}"]
    found = api.kubectl("get", "co", "-o", "name", "--field-selector", "spec.managedBy=operator,status.phase!=Paying")
    assert (name in found.split("/")[1:], f"/{other}\n" in found) == (False, True)


def schema():
    """The schema of the one version."""
    document = yaml.safe_load((ROOT / "crds" / "checkouts.yaml").read_text())
    return document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(part, path=""):
    """Every field below, by its path."""
    for name, field in part.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
    if "items" in part:
        yield f"{path}[]", part["items"]
        yield from fields(part["items"], f"{path}[]")


def test_every_field_is_described() -> None:
    """Every field says what it is, so that kubectl explain does; nothing unknown is kept anywhere."""
    silent = [path for path, field in fields(schema()) if not field.get("description") and path != ".metadata"]
    assert not silent
    assert "preserve-unknown-fields" not in (ROOT / "crds" / "checkouts.yaml").read_text()


@pytest.mark.parametrize("part", ["spec", "status", "spec.items", "status.steps", "status.total", "status.conditions"])
def test_explain_lists_every_field(api, part) -> None:
    """Kubectl explain names every field, with its description."""
    shown = " ".join(api.kubectl("explain", f"checkout.{part}").split())
    below = schema()
    for name in part.split("."):
        below = below["properties"][name]
    for name, field in below.get("items", below)["properties"].items():
        assert f"{name} <" in shown
        assert " ".join(field["description"].split()[:6]) in shown


def test_the_example_is_accepted(api) -> None:
    """The example that the platform's start names can be applied."""
    assert "created" in api.kubectl("apply", "-f", str(ROOT / "manifests" / "examples" / "checkout.yaml"))
