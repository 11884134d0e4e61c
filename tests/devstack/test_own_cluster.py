"""A cluster of the user's own is used on an explicit word alone; what is wrong with it is said before anything starts."""

import json

import pytest

from devstack import cluster, environment
from devstack.client import Stack
from devstack.cluster import Cluster, ClusterError, Context
from devstack.home import Home, user_environment
from devstack.messages import what_stays, what_to_try
from devstack.table import PARTS

PORTS = dict.fromkeys((variable for one in PARTS.values() for variable, _ in one.ports), 1)
OPERATOR = PARTS["operator"]


def config(server="https://127.0.0.1:1", current="away"):
    """A kubeconfig with one context, of a cluster that is away."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "away", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "current-context": current,
        }
    )


@pytest.fixture
def told(refused, tmp_path):
    """Run `devstack up` for the user's own cluster, and give what a person sees."""

    def told(text=None, **env):
        path = tmp_path / "config"
        if text is not None:
            path.write_text(text)
        return refused("up", **{"CLUSTER": "mine", "KUBECONFIG": str(path)} | env)

    return told


def test_a_file_that_is_missing(told, tmp_path):
    """A kubeconfig that is not there is named, with what to do."""
    said = told()
    assert f"there is no file {tmp_path}/config; name your cluster's file in KUBECONFIG" in said
    assert "leave CLUSTER=mine out" in said


def test_a_context_that_is_missing(told):
    """A kubeconfig without a current context is told, with the command that chooses one."""
    assert "has no current context; choose one: kubectl config use-context NAME" in told(config(current=""))


def test_a_cluster_that_is_away(told):
    """A cluster that does not answer is told by its context and address, with what to do."""
    said = told(config())
    assert 'using your cluster, the context "away" (https://127.0.0.1:1)' in said
    assert 'the context "away" (https://127.0.0.1:1) does not answer: ' in said
    assert "choose another context" in said


def test_the_api_server_of_make_up_is_no_cluster_of_the_users(told, home):
    """CLUSTER=mine in a shell that has read `make env` asks for the file of the user's own cluster."""
    assert "name your own cluster's file: KUBECONFIG=~/.kube/config CLUSTER=mine make up" in told(
        KUBECONFIG=str(home.kubeconfig)
    )


def test_another_word(told):
    """CLUSTER with a word that means nothing is refused, so that no slip of the pen chooses a cluster."""
    assert "CLUSTER=mein: the only choice is CLUSTER=mine" in told(CLUSTER="mein")


@pytest.mark.parametrize("word", [{}, {"CLUSTER": ""}])
def test_without_the_word_an_exported_kubeconfig_is_not_used(tmp_path, word):
    """An exported KUBECONFIG never reaches a part without the explicit word, and a line says so."""
    said = []
    env = Stack(Home(tmp_path)).read_settings({"KUBECONFIG": "/theirs", **word}, PORTS, said.append)
    assert "KUBECONFIG" not in env
    assert "KUBECONFIG is set, but not used" in said[0]
    assert environment.for_part(OPERATOR, Home(tmp_path), PORTS, env)["KUBECONFIG"] == f"{tmp_path}/operator.kubeconfig"


def test_a_context_that_is_chosen_later_is_not_followed(monkeypatch, tmp_path):
    """The operator works with the context of `make up`, whichever becomes current afterwards."""
    theirs = tmp_path / "config"
    theirs.write_text(config())
    monkeypatch.setattr(Cluster, "check", lambda _: None)
    home = Home(tmp_path / "home")
    home.make()
    chosen, _ = cluster.choose_own(user_environment() | {"KUBECONFIG": str(theirs)}, home, print)
    theirs.write_text(config("https://production.example"))
    assert chosen == Context("away", "https://127.0.0.1:1", "default")
    assert json.loads(home.own_cluster_kubeconfig.read_text())["clusters"][0]["cluster"]["server"] == chosen.server


def test_a_cluster_that_refuses_the_resource(monkeypatch, tmp_path):
    """A cluster whose user may not write the definition is named with its own words."""

    def refuse(_, *, role):
        raise ClusterError("kubectl apply: forbidden")

    monkeypatch.setattr(Cluster, "prepare", refuse)
    own = Cluster(tmp_path, "config", Home(tmp_path), {})
    with pytest.raises(ClusterError, match=r'the context "away" refuses the Checkout resource: .*forbidden'):
        cluster.prepare_own(Context("away", "https://127.0.0.1:1", "default"), own, print)


def test_the_operator_has_its_own_identity(tmp_path):
    """The operator works on our API server as itself and not as the person, or on the user's own cluster in its namespace."""
    ours = environment.for_part(OPERATOR, Home(tmp_path), PORTS, {"NAMESPACE": "stray"})
    assert ours["KUBECONFIG"] == str(tmp_path / "operator.kubeconfig")
    assert (ours["NAMESPACE"], ours["HTTP_PORT"], ours["CHECKOUT_ADDR"]) == ("default", "1", "127.0.0.1:1")
    theirs = environment.for_part(OPERATOR, Home(tmp_path), PORTS, {"KUBECONFIG": "/theirs", "NAMESPACE": "team"})
    assert (theirs["KUBECONFIG"], theirs["NAMESPACE"]) == ("/theirs", "team")
    assert "KUBECONFIG" not in environment.for_part(PARTS["checkout"], Home(tmp_path), PORTS, {"KUBECONFIG": "/theirs"})


def test_what_is_said_of_it():
    """The end of `make up` names the watched namespace and the cluster; the end of `make down` says what stays there."""
    assert 'The operator watches the namespace "default".' in what_to_try(
        "http://localhost:8080", "http://localhost:8090", None
    )
    own = Context("kind-dev", "https://127.0.0.1:6443", "team")
    said = what_to_try("http://localhost:8080", "http://localhost:8090", own)
    assert 'The operator watches the namespace "team".' in said
    assert 'your cluster, the context "kind-dev" (https://127.0.0.1:6443)' in said
    assert "kubectl --context kind-dev delete -f crds/checkouts.yaml" in what_stays(own)
