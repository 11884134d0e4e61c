"""Who may buy for whom: the API server asks its own authorizer, refuses who has no right, and says how to give it."""

import json
import shlex
import subprocess

import pytest
import yaml

from devstack.apiserver import OPERATOR_USER
from devstack.home import ROOT
from tests.kube import MOUSE, Kube

pytestmark = pytest.mark.real

RBAC = "apis/rbac.authorization.k8s.io/v1/namespaces"
ID = "7c1e8400-e29b-41d4-a716-446655440000"
MIRROR = {"userId": 7, "managedBy": "mirror", "checkoutId": ID}
LARGEST = 2**63 - 1


def rule(resource, *verbs, names=()):
    """Give a rule of a role."""
    named = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": ["cartwright.dev"], "resources": [resource], "verbs": list(verbs), **named}


APPLIES = rule("checkouts", "get", "create", "update", "patch", "delete")
BUYS_FOR_7 = rule("shoppers", "buy", names=["7", "30000000"])
BUYS_FOR_ALL = rule("shoppers", "buy")
CANCELS_FOR_7 = rule("shoppers", "cancel", names=["7"])


class Person(Kube):
    """Somebody who may apply Checkouts, and has the rules that a test gives."""

    def __init__(self, api, user, group=""):
        super().__init__(api.kubeconfig, program=api.program)
        self.user = user
        self.session.headers["Impersonate-User"] = user
        if group:
            self.session.headers["Impersonate-Group"] = group

    def refusal(self, spec, **more):
        """Give why the API server refuses a creation, which it must."""
        answer = self.create(spec, **more)
        assert answer.status_code == 403, answer.text
        return answer.json()["message"]


def grant(api, subject, *rules, namespace="default"):
    """Give a user, or a group, rules in a namespace."""
    name = f"{subject['kind']}-{subject['name']}".lower()
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io"} | subject]
    for kind, rest in (("roles", {"rules": rules}), ("rolebindings", {"roleRef": reference, "subjects": subjects})):
        body = {"metadata": {"name": name}} | rest
        answer = api.session.post(f"{api.url}/{RBAC}/{namespace}/{kind}", json=body, timeout=10)
        assert answer.status_code == 201, answer.text


def may_look(person):
    """Return whether the API server knows a person's role by now: it refuses the look before, and then finds nothing."""
    return person.session.get(f"{person.checkouts}/not-there", timeout=10).status_code == 404


@pytest.fixture(scope="module")
def someone(api, eventually):
    """Make somebody with some rules beside the right to apply Checkouts, once the API server knows of both."""

    def someone(user, *rules):
        grant(api, {"kind": "User", "name": user}, APPLIES, *rules)
        person = Person(api, user)
        eventually(lambda: may_look(person))
        return person

    nobody = someone("nobody")
    # The API server holds the policy from a moment after it was applied.
    eventually(lambda: nobody.create({"userId": 1}, dry_run=True).status_code == 403)
    return someone


@pytest.fixture(scope="module")
def team(someone):
    """Somebody who may buy for the user 7, and for one whose id JSON also writes with an exponent."""
    return someone("alice", BUYS_FOR_7)


@pytest.fixture(scope="module")
def shop(someone):
    """Somebody who may buy for every user."""
    return someone("bob", BUYS_FOR_ALL)


@pytest.fixture(scope="module")
def support(someone):
    """Somebody who may cancel for the user 7, and not buy."""
    return someone("carol", CANCELS_FOR_7)


@pytest.fixture(scope="module")
def stranger(someone):
    """Somebody who may apply Checkouts, and buy for nobody."""
    return someone("mallory")


def test_for_one_user(team) -> None:
    """A role with `resourceNames: ["7"]` and the verb buy lets its holder buy for the user 7, and for no other."""
    assert team.create({"userId": 7, "items": MOUSE}).status_code == 201
    for other in (1, 8, 77, LARGEST):
        assert f"may not buy for user {other} " in team.refusal({"userId": other, "items": MOUSE})


def test_for_every_user(shop) -> None:
    """The verb buy without names lets its holder buy for every user."""
    for user in (1, 7, LARGEST):
        assert shop.create({"userId": user}, dry_run=True).status_code == 201


def test_for_nobody(stranger) -> None:
    """Whoever may create Checkouts and has no rule about shoppers buys for nobody, and nothing is kept."""
    said = stranger.refusal({"userId": 7}, name="forbidden")
    assert said.partition("denied request: ")[2] == (
        "mallory may not buy for user 7 in the namespace default: no role gives the verb buy on"
        " shoppers.cartwright.dev/7. To allow it: kubectl create role buy-for-7 -n default --verb=buy"
        " --resource='*.cartwright.dev' --resource-name=7; kubectl create rolebinding 'buy-for-7-mallory' -n default"
        " --role=buy-for-7 --user='mallory'"
    )
    assert stranger.get("forbidden") is None


def test_a_group_may_buy(api, stranger, eventually) -> None:
    """A role that is bound to a group lets its members buy."""
    grant(api, {"kind": "Group", "name": "team-9"}, APPLIES, rule("shoppers", "buy", names=["9"]))
    member = Person(api, "dave", "team-9")
    eventually(lambda: member.create({"userId": 9}, dry_run=True).status_code == 201)
    assert "dave may not buy for user 7" in member.refusal({"userId": 7})


def test_a_role_elsewhere_does_not_count(api, someone, eventually) -> None:
    """The right to buy in another namespace is no right here."""
    person = someone("eve")
    grant(api, {"kind": "User", "name": "eve"}, BUYS_FOR_ALL, namespace="kube-system")
    asked = {"group": "cartwright.dev", "resource": "shoppers", "name": "7", "verb": "buy", "namespace": "kube-system"}
    review = {"spec": {"user": "eve", "resourceAttributes": asked}}
    url = f"{api.url}/apis/authorization.k8s.io/v1/subjectaccessreviews"
    eventually(lambda: api.session.post(url, json=review, timeout=10).json()["status"]["allowed"])
    assert "eve may not buy for user 7 in the namespace default" in person.refusal({"userId": 7})


@pytest.mark.parametrize("user", ["frank", "system:serviceaccount:shop:ci", "https://id.example#o'hara %1$(id)"])
@pytest.mark.parametrize(
    ("verb", "spec"),
    [
        ("buy", {"userId": 21}),
        ("cancel", {"userId": 22, "cancelRequested": True}),
        ("mirror", MIRROR),
    ],
)
def test_the_commands_of_the_refusal_give_the_right(api, stranger, eventually, user, verb, spec) -> None:
    """What a refusal prints is run by an admin as it stands, whatever the user is called, and the next try succeeds."""
    group = f"{verb}-{len(user)}"
    grant(api, {"kind": "Group", "name": group}, APPLIES)
    person = Person(api, user, group)
    eventually(lambda: may_look(person))
    name = f"co-{ID}" if verb == "mirror" else None
    commands = person.refusal(spec, name=name, dry_run=True).partition("To allow it: ")[2]
    parts = shlex.shlex(commands, posix=True, punctuation_chars=";")
    parts.whitespace_split = True
    words = list(parts)
    assert words.count(";") == 1
    assert words[-1] == f"--user={user}"
    program, cache = shlex.quote(str(api.program)), api.kubeconfig.parent / "kubectl"
    shell = f'kubectl() {{ {program} --cache-dir={shlex.quote(str(cache))} "$@"; }}; {commands}'
    env = {"KUBECONFIG": str(api.kubeconfig), "PATH": "/usr/bin:/bin", "HOME": str(api.kubeconfig.parent)}
    done = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert "rolebinding.rbac.authorization.k8s.io/" in done.stdout, done.stderr
    eventually(lambda: person.create(spec, name, dry_run=True).status_code == 201)
    assert person.create({"userId": 23}, dry_run=True).status_code == 403


def test_a_name_that_fits_no_message(api, stranger, eventually) -> None:
    """A user whose name is too long for the commands is refused all the same, and told which rule is missing."""
    grant(api, {"kind": "Group", "name": "long"}, APPLIES)
    person = Person(api, "x" * 6000, "long")
    eventually(lambda: may_look(person))
    assert "shoppers.cartwright.dev/<spec.userId>" in person.refusal({"userId": 7})


def test_every_way_to_create(team, stranger) -> None:
    """Each way to create a Checkout asks for the right: a post, a generated name, an apply, and another spelling of the id."""
    head = {"apiVersion": "cartwright.dev/v1alpha1", "kind": "Checkout"}
    apply = {"Content-Type": "application/apply-patch+yaml"}

    def statuses(user):
        body = head | {"spec": {"userId": user}}
        query = {"dryRun": "All", "fieldManager": "tests"}
        for person in (team, stranger):
            generated = body | {"metadata": {"generateName": "some-"}}
            yield person.session.post(person.checkouts, json=generated, params=query, timeout=10)
            named = json.dumps(body | {"metadata": {"name": "applied"}})
            url = f"{person.checkouts}/applied"
            yield person.session.patch(url, data=named, params=query, headers=apply, timeout=10)

    assert [answer.status_code for answer in statuses(7)] == [201, 201, 403, 403]
    assert [answer.status_code for answer in statuses(30_000_000.0)] == [201, 201, 403, 403]
    assert [answer.status_code for answer in statuses(8.0)] == [403] * 4


def test_a_cancellation_needs_the_right_to_cancel_or_to_buy(api, support, team, shop, stranger) -> None:
    """Who may cancel for a user, or buy for them, cancels their Checkout; nobody else, and nobody for another user."""
    cancel = {"spec": {"cancelRequested": True}}
    others = api.kept(userId=8)
    for person in (support, team, stranger):
        assert f"{person.user} may not cancel for user 8 " in person.patch(others, cancel).json()["message"]
    assert api.get(others)["spec"]["cancelRequested"] is False
    said = stranger.patch(api.kept(userId=7), cancel).json()["message"]
    assert "no role gives the verb cancel on shoppers.cartwright.dev/7" in said
    for person in (support, team, shop):
        assert person.patch(api.kept(userId=7), cancel).status_code == 200


def test_cancelled_from_the_start(support, team, stranger) -> None:
    """A Checkout that is created cancelled bars its purchase: that is a cancellation, and no purchase."""
    barred = {"userId": 7, "idempotencyKey": "k", "cancelRequested": True}
    for person in (support, team):
        assert person.create(barred, dry_run=True).status_code == 201
    assert "mallory may not cancel for user 7 " in stranger.refusal(barred)
    assert "carol may not buy for user 7 " in support.refusal({"userId": 7, "cancelRequested": False})


def test_a_change_that_buys_nothing_needs_no_right(api, stranger) -> None:
    """Labels, the time to live and a cancellation that is there already are changed by whoever may change Checkouts."""
    running, cancelled = api.kept(userId=7), api.kept(userId=7, cancelRequested=True)
    for name, part in (
        (running, {"metadata": {"labels": {"team": "a"}, "annotations": {"a": "b"}}}),
        (running, {"spec": {"ttlSecondsAfterFinished": 9}}),
        (cancelled, {"metadata": {"labels": {"team": "a"}}, "spec": {"cancelRequested": True}}),
    ):
        assert stranger.patch(name, part).status_code == 200
    whole = stranger.get(running)
    whole["metadata"]["labels"] = {"team": "b"}
    answer = stranger.session.put(f"{stranger.checkouts}/{running}", json=whole, timeout=10)
    assert answer.status_code == 200, answer.text


def test_what_is_bought_cannot_be_changed(api, shop) -> None:
    """Who may buy for one user cannot turn their Checkout into another user's, or a mirror into a purchase."""
    name = api.kept(userId=7)
    for part in ({"userId": 8}, {"items": MOUSE}, {"managedBy": "mirror", "checkoutId": ID}):
        assert shop.patch(name, {"spec": part}).status_code == 422
    assert api.create(MIRROR, f"co-{ID}").status_code == 201
    assert shop.patch(f"co-{ID}", {"spec": {"managedBy": "operator", "checkoutId": None}}).status_code == 422
    api.delete(f"co-{ID}")


def test_mirrors_are_the_operators(api, shop, stranger) -> None:
    """The operator alone creates mirrors. It may not buy: what it starts has been applied by somebody who may."""
    for person in (shop, stranger):
        assert (
            f"{person.user} may not mirror checkouts in the namespace default: no role gives the verb mirror on"
            " checkouts.cartwright.dev"
        ) in person.refusal(MIRROR, name=f"co-{ID}")
    operator = Kube(api.kubeconfig.with_name("operator.kubeconfig"))
    assert operator.create(MIRROR, f"co-{ID}", dry_run=True).status_code == 201
    for spec in ({"userId": 7}, {"userId": 7, "cancelRequested": True}):
        answer = operator.create(spec)
        assert answer.status_code == 403
        assert f"{OPERATOR_USER} may not " in answer.json()["message"]


def test_a_status_cannot_be_forged(api, shop) -> None:
    """Who may buy and change Checkouts writes no status: not to the status itself, not with a creation, not with a change."""
    forged = {"phase": "Completed", "orderId": ID}
    name = shop.apply(userId=7)
    answer = shop.patch(name, {"status": forged}, "/status")
    assert (answer.status_code, "checkouts/status" in answer.json()["message"]) == (403, True)
    assert shop.patch(name, {"status": forged, "metadata": {"labels": {"a": "b"}}}).status_code == 200
    assert shop.create({"userId": 7}, "forged", status=forged).status_code == 201
    assert (api.status(name), api.status("forged")) == ({}, {})


def test_the_role_of_the_docs(api, stranger, eventually) -> None:
    """The role that the docs show lets its holder apply and cancel for the user 7, and for nobody else."""
    shown = (ROOT / "docs" / "resources.md").read_text().partition("## Who may buy for whom")[2]
    role = yaml.safe_load(shown.partition("```yaml\n")[2].partition("```")[0])
    grant(api, {"kind": "User", "name": "grace"}, *role["rules"])
    person = Person(api, "grace")
    eventually(lambda: may_look(person))
    name = person.apply(userId=7)
    person.change(name, {"spec": {"cancelRequested": True}})
    assert "grace may not buy for user 8 " in person.refusal({"userId": 8})


def test_an_admin_buys_as_before(api, stranger) -> None:
    """A cluster admin needs no rule of its own: `*` covers every shopper."""
    assert api.try_out({"userId": 7}).status_code == 201
    assert api.try_out(MIRROR, name=f"co-{ID}").status_code == 201
