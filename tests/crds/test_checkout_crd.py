"""The Checkout resource as a real API server reads it: every rule, shown refusing and accepting."""

import base64
import itertools
import json
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import requests
import yaml

from devstack.client import Stack
from devstack.home import ROOT, Home, user_environment
from devstack.stores import find

pytestmark = pytest.mark.real

CHECKOUTS = "/apis/cartwright.dev/v1alpha1/namespaces/default/checkouts"
ID = "550e8400-e29b-41d4-a716-446655440000"
NAMES = (f"t-{number}" for number in itertools.count())


class Api:
    """An API server, spoken to plainly."""

    def __init__(self, stack: Stack) -> None:
        self.kubeconfig = stack.home.kubeconfig
        config = json.loads(self.kubeconfig.read_text())
        authority = stack.home.path / "ca.crt"
        authority.write_bytes(base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]))
        self.url = config["clusters"][0]["cluster"]["server"]
        self.session = requests.Session()
        self.session.trust_env = False  # a bundle of certificates that the environment names would come first
        self.session.verify = str(authority)
        self.session.headers["Authorization"] = f"Bearer {config['users'][0]['user']['token']}"
        self.program = find({"apiserver"}, user_environment(), print).cluster.kubectl

    def create(self, spec, name=None, status=None, *, strict=True, keep=False):
        """Create a Checkout; unless it is to be kept, everything but the writing is done."""
        body = {
            "apiVersion": "cartwright.dev/v1alpha1",
            "kind": "Checkout",
            "metadata": {"name": name or next(NAMES)},
            "spec": spec,
        }
        if status:
            body["status"] = status
        query = {"fieldValidation": "Strict" if strict else "Ignore"} | ({} if keep else {"dryRun": "All"})
        return self.session.post(self.url + CHECKOUTS, json=body, params=query, timeout=10)

    def kept(self, **spec):
        """Create a Checkout, and give its name."""
        answer = self.create({"userId": 1} | spec, keep=True)
        assert answer.status_code == 201, answer.text
        return answer.json()["metadata"]["name"]

    def patch(self, name, part, below=""):
        """Change a part of a Checkout."""
        headers = {"Content-Type": "application/merge-patch+json"}
        url = f"{self.url}{CHECKOUTS}/{name}{below}"
        return self.session.patch(url, json=part, params={"fieldValidation": "Strict"}, headers=headers, timeout=10)

    def status(self, name, **status):
        """Write a part of the status, as the operator does."""
        return self.patch(name, {"status": status}, "/status")

    def kubectl(self, *words):
        """Run kubectl as a person does."""
        cache = self.kubeconfig.parent / "kubectl"
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={cache}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(name="api", scope="module")
def api_fixture():
    """An API server of its own, with the resource."""
    home = Home(ROOT / ".cartwright" / "test_checkout_crd")
    Stack(home).down()
    shutil.rmtree(home.path, ignore_errors=True)
    stack = Stack.up(home.path, only={"etcd", "apiserver"})
    yield Api(stack)
    stack.down()


def line(product=1, quantity=1):
    """A line of what to buy."""
    return {"productId": product, "quantity": quantity}


ACCEPTED = {
    "the smallest": {},
    "the largest user id": {"userId": 2**63 - 1},
    "one line": {"items": [line()]},
    "a hundred lines": {"items": [line(product) for product in range(1, 101)]},
    "ninety-nine of one": {"items": [line(quantity=99)]},
    "a key": {"idempotencyKey": "k"},
    "a long key": {"idempotencyKey": "ü" * 255},
    "a key with a space": {"idempotencyKey": "my order"},
    "the shortest timeout": {"timeoutSeconds": 5},
    "the longest timeout": {"timeoutSeconds": 3600},
    "deleted at once": {"ttlSecondsAfterFinished": 0},
    "kept for a week": {"ttlSecondsAfterFinished": 604800},
    "cancelled from the start": {"cancelRequested": True},
    "said outright": {"managedBy": "operator"},
}
REFUSED = {
    "no user": ({"userId": None}, "spec.userId"),
    "user 0": ({"userId": 0}, "greater than or equal to 1"),
    "a user beyond 64 bits": ({"userId": 2**63}, "spec.userId"),
    "a user as text": ({"userId": "1"}, "must be of type integer"),
    "no lines": ({"items": []}, "at least 1 items"),
    "too many lines": ({"items": [line(product) for product in range(1, 102)]}, "at most 100 items"),
    "a product twice": ({"items": [line(), line(quantity=2)]}, "Duplicate value"),
    "product 0": ({"items": [line(product=0)]}, "productId"),
    "none of it": ({"items": [line(quantity=0)]}, "greater than or equal to 1"),
    "a hundred of one": ({"items": [line(quantity=100)]}, "less than or equal to 99"),
    "a line without quantity": ({"items": [{"productId": 1}]}, "quantity: Required value"),
    "a line with something unknown": ({"items": [line() | {"price": 1}]}, 'unknown field "spec.items[0].price"'),
    "an empty key": ({"idempotencyKey": ""}, "at least 1 chars"),
    "a key too long": ({"idempotencyKey": "k" * 256}, "Too long"),
    "a blank key": ({"idempotencyKey": "  "}, "choose another key"),
    "a key with a tab": ({"idempotencyKey": "a\tb"}, "choose another key"),
    "too short a timeout": ({"timeoutSeconds": 4}, "greater than or equal to 5"),
    "too long a timeout": ({"timeoutSeconds": 3601}, "less than or equal to 3600"),
    "a negative time to live": ({"ttlSecondsAfterFinished": -1}, "greater than or equal to 0"),
    "more than a week": ({"ttlSecondsAfterFinished": 604801}, "less than or equal to 604800"),
    "managed by somebody": ({"managedBy": "somebody"}, 'supported values: "operator", "mirror"'),
    "an unknown field": ({"itemz": []}, 'unknown field "spec.itemz"'),
    "a mirror of nothing": ({"managedBy": "mirror"}, "set checkoutId to its id"),
    "a checkout's id that is none": ({"managedBy": "mirror", "checkoutId": "7"}, "a UUID in lower case"),
    "an id in capitals": ({"managedBy": "mirror", "checkoutId": ID.upper()}, "a UUID in lower case"),
    "an id without a mirror": ({"checkoutId": ID}, "leave it out"),
    "a mirror of another name": ({"managedBy": "mirror", "checkoutId": ID}, f"set metadata.name to co-{ID}"),
}


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_may_be_asked(api, spec) -> None:
    """A spec within the bounds is accepted."""
    answer = api.create({"userId": 1} | spec)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("spec", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_may_not_be_asked(api, spec, words) -> None:
    """A spec beyond the bounds is refused, with words that say what to do."""
    asked = {field: value for field, value in ({"userId": 1} | spec).items() if value is not None}
    answer = api.create(asked)
    assert answer.status_code in {400, 422}, answer.text
    assert words in answer.json()["message"]


def test_a_mirror_has_its_checkouts_name(api) -> None:
    """A mirror that is named after its checkout is accepted."""
    assert api.create({"userId": 1, "managedBy": "mirror", "checkoutId": ID}, name=f"co-{ID}").status_code == 201


def test_keys_are_those_that_the_rest_api_takes(api) -> None:
    """A character may stand in a key here exactly where the platform takes it: one of each kind is tried."""
    kinds = {}
    for number in range(sys.maxunicode + 1):
        kinds.setdefault(unicodedata.category(chr(number)), []).append(chr(number))
    del kinds["Cs"], kinds["Cn"]  # no text holds the first; which are the second depends on the Unicode version
    for character in {letter for of_kind in kinds.values() for letter in (of_kind[0], of_kind[len(of_kind) // 4])}:
        key = f"a{character}"
        assert (api.create({"userId": 1, "idempotencyKey": key}).status_code == 201) == key.isprintable(), ascii(key)


def test_what_is_left_out_is_filled_in(api) -> None:
    """Every default of the specification is set, and nothing is made up for the rest."""
    assert api.create({"userId": 1}).json()["spec"] == {
        "userId": 1,
        "timeoutSeconds": 300,
        "ttlSecondsAfterFinished": 300,
        "cancelRequested": False,
        "managedBy": "operator",
    }


def test_unknown_fields_are_dropped_where_nobody_asks(api) -> None:
    """A client that asks for no validation has its unknown fields dropped, not stored."""
    answer = api.create({"userId": 1, "bogus": {"a": 1}}, strict=False)
    assert "bogus" not in answer.json()["spec"]


WHOLE = {"items": [line(1), line(2)], "idempotencyKey": "k"}
CHANGES = {
    "user": {"userId": 2},
    "a quantity": {"items": [line(1), line(2, 2)]},
    "one line more": {"items": [line(1), line(2), line(3)]},
    "one line less": {"items": [line(1)]},
    "items gone": {"items": None},
    "key": {"idempotencyKey": "other"},
    "key gone": {"idempotencyKey": None},
    "timeout": {"timeoutSeconds": 10},
    "timeout back to the default": {"timeoutSeconds": None},
    "managedBy": {"managedBy": "mirror", "checkoutId": ID},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_spec_stays_as_it_is(api, change) -> None:
    """No field that says what to buy can change once it is applied."""
    answer = api.patch(api.kept(**WHOLE, timeoutSeconds=60), {"spec": change})
    assert answer.status_code == 422, answer.text
    assert "delete this Checkout and apply a new one" in answer.json()["message"]


@pytest.mark.parametrize("change", [{"items": [line()]}, {"idempotencyKey": "k"}])
def test_nothing_is_added_to_a_spec(api, change) -> None:
    """What was left out cannot be added later."""
    answer = api.patch(api.kept(), {"spec": change})
    assert answer.status_code == 422
    assert "delete this Checkout and apply a new one" in answer.json()["message"]


def test_a_mirrors_checkout_stays(api) -> None:
    """A mirror cannot come to show another checkout."""
    assert api.create({"userId": 1, "managedBy": "mirror", "checkoutId": ID}, f"co-{ID}", keep=True).ok
    other = ID.replace("5", "6")
    assert api.patch(f"co-{ID}", {"spec": {"checkoutId": other}}).status_code == 422
    assert api.patch(f"co-{ID}", {"spec": {"checkoutId": None, "managedBy": "operator"}}).status_code == 422


def test_applying_the_same_again_is_no_change(api) -> None:
    """The same spec, its lines in another order included, is accepted again."""
    name = api.kept(**WHOLE)
    assert api.patch(name, {"spec": WHOLE | {"items": [line(1), line(2)]}}).ok
    assert api.patch(name, {"metadata": {"labels": {"a": "b"}}}).ok


def test_the_time_to_live_may_change(api) -> None:
    """How long a finished one is kept may be changed at any time."""
    name = api.kept()
    assert [api.patch(name, {"spec": {"ttlSecondsAfterFinished": ttl}}).status_code for ttl in (0, 99)] == [200, 200]


def test_a_cancellation_is_not_taken_back(api) -> None:
    """A cancellation may be asked for at any time, and not be taken back."""
    name = api.kept()
    assert api.patch(name, {"spec": {"cancelRequested": False}}).ok
    assert api.patch(name, {"spec": {"cancelRequested": True}}).ok
    for value in (False, None):
        answer = api.patch(name, {"spec": {"cancelRequested": value}})
        assert answer.status_code == 422
        assert "apply a new Checkout" in answer.json()["message"]


def test_a_status_cannot_be_brought_along(api) -> None:
    """Who creates or changes a Checkout cannot set its status."""
    answer = api.create({"userId": 1}, status={"phase": "Completed"}, keep=True).json()
    assert "status" not in answer
    assert "status" not in api.patch(answer["metadata"]["name"], {"status": {"phase": "Completed"}}).json()


def test_a_saga_version_never_goes_back(api) -> None:
    """An older projection is refused; a forged one can be removed and written anew."""
    name = api.kept()
    assert [api.status(name, sagaVersion=version).status_code for version in (3, 3, 4)] == [200, 200, 200]
    stale = api.status(name, sagaVersion=2, phase="Pending")
    assert (stale.status_code, "read the saga again" in stale.text) == (422, True)
    assert api.status(name, sagaVersion=None).ok
    assert api.status(name, sagaVersion=2).json()["status"]["sagaVersion"] == 2


TIME = "2026-01-01T00:00:00Z"
SUCCEEDED = {"type": "Succeeded", "status": "True", "lastTransitionTime": TIME, "reason": "Bought", "message": "Well."}
STATUS = {
    "observedGeneration": 1,
    "checkoutId": ID,
    "orderId": "7c1e",
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
    assert api.status(api.kept(), **STATUS).json()["status"] == STATUS


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
    assert api.status(api.kept(), **status).status_code in {400, 422}


def test_the_columns(api) -> None:
    """Kubectl shows where a checkout is; what tells more is shown with -o wide."""
    name = api.kept(userId=4711)
    assert api.status(name, **STATUS).ok
    head, row = (line.split() for line in api.kubectl("get", "co", name).splitlines())
    assert head == ["NAME", "PHASE", "STEP", "PROGRESS", "TOTAL", "ORDER", "AGE"]
    assert row[:6] == [name, "Completed", "Confirm", "4/4", "2599.98", "7c1e"]
    head, row = (line.split() for line in api.kubectl("get", "commerce", name, "-o", "wide").splitlines())
    assert head[7:] == ["SUCCEEDED", "REASON", "USER", "MANAGEDBY", "FINISHED", "MESSAGE"]
    assert (row[7:11], row[12]) == (["True", "Bought", "4711", "operator"], "Well.")


def test_the_field_selectors(api) -> None:
    """Checkouts are found by phase, by user and by who manages them."""
    name, other = api.kept(userId=31), api.kept(userId=32)
    assert api.status(name, phase="Paying").ok
    found = api.kubectl("get", "co", "-o", "name", "--field-selector", "status.phase=Paying,spec.userId=31")
    assert found.split() == [f"checkout.cartwright.dev/{name}"]
    found = api.kubectl("get", "co", "-o", "name", "--field-selector", "spec.managedBy=operator,status.phase!=Paying")
    assert (name in found.split("/")[1:], f"/{other}\n" in found) == (False, True)


def schema():
    """The schema of the one version."""
    document = yaml.safe_load(Path(ROOT / "crds" / "checkouts.yaml").read_text())
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
    told = " ".join(api.kubectl("explain", f"checkout.{part}").split())
    below = schema()
    for name in part.split("."):
        below = below["properties"][name]
    for name, field in below.get("items", below)["properties"].items():
        assert f"{name} <" in told
        assert " ".join(field["description"].split()[:6]) in told


def test_the_example_is_accepted(api) -> None:
    """The example that the platform's start names can be applied."""
    assert "created" in api.kubectl("apply", "-f", str(ROOT / "manifests" / "examples" / "checkout.yaml"))
