"""The API server of a stack: what it keeps, what each identity may do, and when it is not started at all."""

import os
import shutil
import ssl
import stat
from pathlib import Path

import pytest

from devstack import apiserver, fetch, golang
from devstack.apiserver import NAMESPACE
from devstack.client import Stack
from devstack.cluster import Cluster, ClusterError
from devstack.home import ROOT, Home, user_environment
from tests.kube import Kube

pytestmark = pytest.mark.real

BOTH = {"etcd", "apiserver"}
MAY = {
    "checkouts.cartwright.dev": {"list", "watch", "create", "delete", "mirror"},
    "checkouts.cartwright.dev/status": {"patch"},
    "events": {"create"},
}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "mirror")
OTHERS = ("secrets", "configmaps", "pods", "namespaces", "roles.rbac.authorization.k8s.io", "serviceaccounts")


@pytest.fixture(name="home", scope="module")
def home_fixture():
    """A home for the stacks of this module, one after the other."""
    home = Home(ROOT / ".cartwright" / "test_cluster")
    Stack(home).down()
    shutil.rmtree(home.path, ignore_errors=True)
    yield home
    Stack(home).down()


@pytest.fixture(name="stack", scope="module")
def stack_fixture(home):
    """A stack with an API server alone."""
    stack = Stack.up(home.path, only=BOTH)
    yield stack
    stack.down()


def cluster(home: Home, *, operator: bool = False) -> Cluster:
    """The cluster, with the identity of a person or of the operator."""
    path = home.operator_kubeconfig if operator else home.kubeconfig
    env = user_environment()
    return Cluster(apiserver.kubectl(env, print), str(path), home, env)


def test_what_was_applied_survives_kills(stack, home, eventually) -> None:
    """A Checkout is there after both the API server and its store are killed, and the kubeconfig still opens it."""
    kubeconfig = home.kubeconfig.read_text()
    cluster(home).run("apply", "-f", str(ROOT / "manifests" / "examples" / "checkout.yaml"))
    restarts = {name: stack.row(name)["restarts"] for name in BOTH}
    for name in BOTH:
        stack.kill(name)
    eventually(lambda: all(stack.row(name)["restarts"] > restarts[name] for name in BOTH))
    stack.wait_ready()
    assert "checkout.cartwright.dev/first" in cluster(home).run("get", "co", "-o", "name")
    assert home.kubeconfig.read_text() == kubeconfig


def may(kubeconfig: Path, verb: str, resource: str, namespace: str = NAMESPACE) -> bool:
    """Return what `kubectl auth can-i` says of the identity of a kubeconfig: it asks the same question, in a process each time."""
    kind, _, below = resource.partition("/")
    kind, _, group = kind.partition(".")
    asked = {"verb": verb, "group": group, "resource": kind, "subresource": below, "namespace": namespace}
    kube = Kube(kubeconfig)
    with kube.session:
        url = f"{kube.url}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = kube.session.post(url, json={"spec": {"resourceAttributes": asked}}, timeout=10)
    return bool(answer.json()["status"]["allowed"])


def test_the_operator_may_do_what_its_role_says_and_no_more(stack, home) -> None:
    """The operator may do with Checkouts and events what its role names; nothing else, and nothing elsewhere."""
    operator = home.operator_kubeconfig
    for resource, verbs in MAY.items():
        assert {verb for verb in VERBS if may(operator, verb, resource)} == verbs, resource
    asked = [(verb, resource, NAMESPACE) for verb in ("get", "create") for resource in OTHERS]
    asked += [("list", "checkouts.cartwright.dev", "kube-system"), ("create", "events", "kube-system")]
    assert [one for one in asked if may(operator, *one)] == []


def test_the_operator_is_refused_the_rest(stack, home) -> None:
    """The operator lists Checkouts and is refused a secret, by the server and not by its own word."""
    operator = cluster(home, operator=True)
    operator.run("get", "checkouts")
    with pytest.raises(ClusterError, match="forbidden"):
        operator.run("get", "secrets")


def test_kubeconfigs_are_secret(stack, home) -> None:
    """Tokens and keys can be read by nobody else."""
    data = home.data("apiserver")
    restricted = (home.operator_kubeconfig, home.auditor_kubeconfig)
    for path in (home.kubeconfig, *restricted, data / "tokens.csv", data / "apiserver.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert not [path for path in restricted if "system:masters" in path.read_text()]


def test_the_auditor_may_list_checkouts_and_no_more(stack, home) -> None:
    """The auditor lists Checkouts. It can neither read anything else nor write a Checkout, its status or an event."""
    env = user_environment()
    auditor = Cluster(apiserver.kubectl(env, print), str(home.auditor_kubeconfig), home, env)
    auditor.run("get", "checkouts")
    checkouts = "checkouts.cartwright.dev"
    assert may(home.auditor_kubeconfig, "list", checkouts)
    asked = [(verb, checkouts) for verb in ("create", "delete", "patch", "watch")]
    asked += [("patch", f"{checkouts}/status"), ("create", "events"), ("get", "secrets"), ("list", "pods")]
    assert [one for one in asked if may(home.auditor_kubeconfig, *one)] == []


def test_tokens_that_were_handed_out_stay_valid(tmp_path) -> None:
    """A folder that an earlier version made keeps its tokens, and gets those of users that are new."""
    (tmp_path / "tokens.csv").write_text('a,admin,admin,"system:masters"\nb,cartwright-operator,cartwright-operator\n')
    for _ in range(2):
        lines = apiserver._tokens(tmp_path).read_text().splitlines()
        assert lines[:2] == ['a,admin,admin,"system:masters"', "b,cartwright-operator,cartwright-operator"]
        assert [line.split(",")[1:] for line in lines[2:]] == [["cartwright-auditor", "cartwright-auditor"]]


def test_its_certificate_is_good_for_strict_clients(stack, home) -> None:
    """A client that checks certificates as Python 3.13 does trusts it, with what the kubeconfig holds."""
    port = stack.row("apiserver")["ports"][0]
    trust = ssl.create_default_context(cafile=str(home.data("apiserver") / "apiserver.crt"))
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    with ssl.create_connection(("127.0.0.1", port)) as plain, trust.wrap_socket(plain, server_hostname="127.0.0.1"):
        pass


def test_preparing_again_changes_nothing(stack, home) -> None:
    """What every start does to the cluster can be done again; an object of the person's stays."""
    version = ("get", "crd", "checkouts.cartwright.dev", "-o", "jsonpath={.metadata.generation}")
    before = cluster(home).run(*version)
    cluster(home).prepare(role=True)
    assert cluster(home).run(*version) == before


def test_a_role_that_was_widened_is_put_right(stack, home, eventually) -> None:
    """A right that somebody added to the operator's role is gone after the next start."""

    def may() -> bool:
        try:
            cluster(home, operator=True).run("get", "secrets")
        except ClusterError:
            return False
        return True

    more = (
        '[{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}}]'
    )
    cluster(home).run("patch", "role", "cartwright-operator", "--type=json", "-p", more)
    eventually(may)
    cluster(home).prepare(role=True)
    eventually(lambda: not may())


def test_a_cluster_of_the_users_own(stack, home, tmp_path) -> None:
    """An exported KUBECONFIG alone changes nothing in that cluster; CLUSTER=mine puts the resource there, and down leaves it."""
    theirs, crds = tmp_path / "config", ("get", "crd", "-o", "name")
    theirs.write_text(home.kubeconfig.read_text().replace('"namespace": "default"', '"namespace": "team"'))
    cluster(home).run("delete", "crd", "checkouts.cartwright.dev")
    other = Stack(Home(ROOT / ".cartwright" / "test_cluster_own"))
    env = user_environment() | {"KUBECONFIG": f"{tmp_path}/missing:{theirs}"}

    def launch(**more: str) -> str:
        said = []
        other.launch(env | more, only={"redis", *BOTH}, free=True, while_pid=os.getpid(), say=said.append)
        other.wait_ready()
        return "\n".join(said)

    try:
        said = launch()
        assert "KUBECONFIG is set, but not used" in said
        assert {row["name"] for row in other.rows()} == {"redis", *BOTH}
        assert "checkouts" not in cluster(home).run(*crds)
        other.down()
        said = launch(CLUSTER="mine")
        assert (
            f'using your cluster, the context "cartwright" (https://127.0.0.1:{stack.row("apiserver")["ports"][0]})'
            in said
        )
        assert {row["name"] for row in other.rows()} == {"redis"}
        assert (other.own_cluster().name, other.own_cluster().namespace) == ("cartwright", "team")
        assert other.env()["KUBECONFIG"] == str(other.home.own_cluster_kubeconfig)
        assert stat.S_IMODE(other.home.own_cluster_kubeconfig.stat().st_mode) == 0o600
    finally:
        other.down()
    assert "checkouts" in cluster(home).run(*crds)


def test_programs_of_the_users_own_come_first(tmp_path) -> None:
    """KUBEBUILDER_ASSETS names the programs; one that is missing there is said, with what to do."""
    env = user_environment() | {"KUBEBUILDER_ASSETS": str(tmp_path)}
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch()
    with pytest.raises(fetch.CannotFetch, match="there is no kubectl in"):
        apiserver.find(env, print)
    (tmp_path / "kubectl").touch()
    assert apiserver.find(env, print).apiserver == tmp_path / "kube-apiserver"


def test_a_kubectl_that_does_not_fit_is_not_used(tmp_path) -> None:
    """A kubectl on PATH is used where its version fits the server, and passed over where it is too old."""
    for minor, used in ((34, True), (20, False)):
        program = tmp_path / "kubectl"
        program.write_text(f"""#!/bin/sh\necho '{{"clientVersion": {{"gitVersion": "v1.{minor}.1"}}}}'\n""")
        program.chmod(0o755)
        env = {name: value for name, value in user_environment().items() if name != "DEVSTACK_IGNORE_PATH"}
        found = apiserver.kubectl(env | {"PATH": f"{tmp_path}:{env['PATH']}"}, print)
        assert (found == program) is used


def test_the_build_is_pinned() -> None:
    """The version that is built is the one that the module files pin."""
    assert f"k8s.io/kubernetes v{golang.VERSION}\n" in (fetch.TOOLS / "kubernetes" / "go.mod").read_text()


def test_a_certificate_half_made_is_made_anew(tmp_path) -> None:
    """An API server that was killed while it made its certificate starts again."""
    (tmp_path / "apiserver.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    programs = apiserver.Programs(tmp_path, tmp_path, tmp_path)
    ports = {"ETCD_PORT": 1, "APISERVER_PORT": 2}
    assert apiserver.apiserver_command(programs, tmp_path, ports)
    assert not (tmp_path / "apiserver.crt").exists()


@pytest.mark.parametrize("works", [True, False])
def test_a_build_is_whole_or_not_there(tmp_path, works) -> None:
    """A program is built once, and how long that takes is said first; of a build that fails nothing is left but its words."""
    go = tmp_path / "go"
    build = 'while [ "$1" != -o ]; do shift; done; echo built > "$2"' if works else "echo no route to host >&2; exit 1"
    go.write_text(f"#!/bin/sh\ncase $1 in env) echo go1.99.0 ;; list) ;; *) {build} ;; esac\n")
    go.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    said = []
    if works:
        assert golang.program("etcd", env, said.append).read_text() == "built\n"
        assert golang.program("etcd", env, said.append).parent.parent == tmp_path / "cache" / "cartwright"
        assert [line.split()[0] for line in said] == ["building", "built"]
    else:
        with pytest.raises(fetch.CannotFetch, match="no route to host"):
            golang.program("etcd", env, said.append)
        assert [one for one in (tmp_path / "cache" / "cartwright").iterdir() if one.suffix != ".lock"] == []
        assert golang.SOURCES["etcd"].takes in said[0]
