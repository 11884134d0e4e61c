"""What the operator writes has no field that the Checkout's schema lacks: the API server is told not to look for such."""

import pytest
import yaml

from checkout_operator.status import project, refused
from devstack.home import ROOT
from tests.operator.test_status_reachable import WAYS, seen
from tests.operator.views import rest

SCHEMAS = [
    version["schema"]["openAPIV3Schema"]
    for version in yaml.safe_load((ROOT / "crds" / "checkouts.yaml").read_text())["spec"]["versions"]
]


def unknown(value, schema, path=""):
    """Give the paths of what the schema does not name."""
    if isinstance(value, list):
        for one in value:
            yield from unknown(one, schema["items"], path)
    elif isinstance(value, dict) and (known := schema.get("properties")):
        for name, member in value.items():
            if name in known:
                yield from unknown(member, known[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_every_status_is_known(schema):
    """The status of each way that a checkout can go, and that of a resource that cannot become one."""
    statuses = [project(seen(one), 1) for way in WAYS for one in way]
    statuses.append(refused("InvalidSpec", 1, "2026-01-01T00:00:00Z", "no"))
    assert {path for status in statuses for path in unknown({"status": status}, schema)} == set()


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
async def test_a_mirror_is_known(new, view, cluster, schema):
    """The mirror, as it is created."""
    projector = new(mirror_mode="All")
    projector.enqueue(rest(view))
    await projector.flush()
    [mirror] = cluster.objects.values()
    assert set(unknown(mirror, schema)) == set()


def test_what_is_unknown_is_found():
    """A field that the schema lacks is found wherever it is."""
    wrong = {"statuz": {}, "spec": {"userId": 1, "usr": 1}, "status": {"conditions": [{"type": "x", "typo": 1}]}}
    assert set(unknown(wrong, SCHEMAS[0])) == {".statuz", ".spec.usr", ".status.conditions.typo"}
