"""What the person at the terminal sees of `make kind-up` where something is missing or taken."""

import socket
import stat

import pytest
from typer.testing import CliRunner

from devstack.kind import __main__ as command
from devstack.kind.cluster import Cluster, of
from devstack.kind.programs import KindError, Programs


@pytest.fixture
def kind(monkeypatch):
    """Run a command with an environment of its own, and give its exit code and what it printed."""

    def kind(verb, **env):
        monkeypatch.setattr(command, "user_environment", lambda: env)
        done = CliRunner().invoke(command.app, [verb])
        return done.exit_code, done.output

    return kind


@pytest.fixture
def programs(tmp_path):
    """Return a folder of programs that answer as each test says, and note how they were called."""

    def program(name, script="exit 0"):
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    for name in ("docker", "kind", "kubectl", "helm"):
        program(name)
    program.path = f"{tmp_path}:/bin:/usr/bin"
    program.calls = lambda: (tmp_path / "calls").read_text().splitlines()
    return program


@pytest.mark.parametrize("verb", ["up", "down"])
def test_missing_programs(kind, verb):
    """Each program that is missing is named, with where to get it."""
    code, said = kind(verb, PATH="")
    assert code == 1
    for name in ("docker", "kind", "kubectl", "helm"):
        assert f"{name} is missing: " in said


def test_docker_is_not_running(kind, programs):
    """A Docker that does not answer is said before anything is made."""
    programs("docker", "exit 1")
    code, said = kind("up", PATH=programs.path)
    assert (code, "Docker does not answer" in said) == (1, True)
    assert programs.calls() == ["docker info"]


def test_a_port_that_is_taken(kind, programs):
    """A taken port is told, with the variable that chooses another, and no cluster is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = kind("up", PATH=programs.path, GATEWAY_PORT=str(port))
    assert code == 1
    assert f"port {port} is taken by " in said
    assert "make kind-up GATEWAY_PORT=" in said
    assert not [call for call in programs.calls() if "create" in call]


def test_a_typo_in_the_port(kind, programs):
    """What is no port number is told as such."""
    code, said = kind("up", PATH=programs.path, GATEWAY_PORT="eighty")
    assert (code, "GATEWAY_PORT=eighty: must be a port number" in said) == (1, True)


def test_a_step_that_fails(programs):
    """A program's failure is told with the command and its last lines."""
    programs("kind", "echo no such image >&2; exit 3")
    cluster = Cluster(Programs({"PATH": programs.path}), "c")
    with pytest.raises(KindError, match=r"this failed: kind load docker-image --name c x y\nno such image"):
        cluster.load(["x", "y"])


def test_the_gateway_port_is_mapped(programs):
    """The cluster is made from the project's own file, with the chosen port in it, and the chosen node image."""
    programs("kind", 'while [ $# -gt 0 ]; do [ "$1" = --config ] && grep hostPort "$2" >&2 && exit 1; shift; done')
    cluster = Cluster(Programs({"PATH": programs.path}), "c")
    with pytest.raises(KindError, match="hostPort: 39123"):
        cluster.make("kindest/node:x", 39123)
    (made,) = [call for call in programs.calls() if "create" in call]
    assert made.endswith("--image kindest/node:x")


def test_what_could_not_be_made_is_deleted(programs):
    """A cluster whose making fails does not stay behind half made."""
    programs("kind", "[ $1 != create ]")
    with pytest.raises(KindError, match="kind create cluster"):
        Cluster(Programs({"PATH": programs.path}), "c").make("", 39123)
    assert [call for call in programs.calls() if call.startswith("kind")][-1] == "kind delete cluster --name c"


def test_a_cluster_that_does_not_answer(kind, programs):
    """A cluster that sleeps, or was made by halves, is told with what to do, and is left alone."""
    programs("kind", "echo c")
    programs("kubectl", "exit 1")
    code, said = kind("up", PATH=programs.path, KIND_CLUSTER="c")
    assert (code, "docker start c-control-plane" in said, "make kind-down" in said) == (1, True, True)
    assert [call for call in programs.calls() if call.startswith("kind")] == ["kind get clusters"]


def test_deleting_what_is_not_there(kind, programs):
    """`make kind-down` without a cluster says so, and deletes nothing."""
    assert kind("down", PATH=programs.path, KIND_CLUSTER="c") == (0, "there was no cluster 'c'\n")
    assert not [call for call in programs.calls() if "delete" in call]


@pytest.fixture
def kubeconfig(programs, tmp_path):
    """A kubectl that remembers its current context, and a kind that makes its own the current one, as the real one does."""
    context = tmp_path / "context"
    context.write_text("work")
    script = 'case "$2" in current-context) cat {0};; use-context) echo "$3" > {0};; esac'
    programs("kubectl", script.format(context))
    programs("kind", f"echo kind-c > {context}")
    return context


def test_the_current_context_stays(programs, kubeconfig):
    """Making and deleting a cluster leaves the context that kubectl uses what it was."""
    cluster = Cluster(Programs({"PATH": programs.path}), "c")
    cluster.make("", 39123)
    assert kubeconfig.read_text().strip() == "work"
    programs("kind", f"echo > {kubeconfig}")
    cluster.delete()
    assert kubeconfig.read_text().strip() == "work"


def test_a_first_context_is_the_clusters(programs, kubeconfig):
    """Who has no current context has that of the cluster afterwards, as kind does it."""
    kubeconfig.write_text("")
    Cluster(Programs({"PATH": programs.path}), "c").make("", 39123)
    assert kubeconfig.read_text().strip() == "kind-c"


def test_the_end_of_kind_up_names_the_context(programs, kubeconfig):
    """What is printed at the end says which context is current, how to change it and go back, and what is watched."""
    said = command._what_to_try(Cluster(Programs({"PATH": programs.path}), "c"), "http://localhost:8080")
    assert 'The current context of kubectl is still "work". To change it, and to go back:' in said
    assert "kubectl config use-context kind-c\n  kubectl config use-context work" in said
    assert 'The operator watches the namespace "cartwright".' in said


@pytest.mark.parametrize("verb", ["up", "down"])
def test_the_cluster_of_another_folder(kind, programs, tmp_path, verb):
    """A cluster that another folder's `make kind-up` made is left alone, and named with how to have one's own."""
    programs("kind", "echo c")
    programs("kubectl", f'case "$*" in *annotations*) echo {tmp_path};; esac')
    code, said = kind(verb, PATH=programs.path, KIND_CLUSTER="c")
    assert (code, f"the cluster 'c' is that of {tmp_path}" in said, "KIND_CLUSTER=c-2" in said) == (1, True, True)
    assert [call for call in programs.calls() if call.startswith("kind")] == ["kind get clusters"]


def test_images_are_loaded_at_once(programs):
    """What the node lacks goes into it by one command."""
    Cluster(Programs({"PATH": programs.path}), "c").load(["a", "b"])
    assert programs.calls() == ["kind load docker-image --name c a b"]


def test_the_kubeconfig_of_make_up_is_not_used(tmp_path):
    """A shell that has read `make env` makes a kind cluster in the user's own kubeconfig, not in one that is rewritten."""
    env = {"DEVSTACK_HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig")}
    assert "KUBECONFIG" not in of(env).programs.env
    assert of(env | {"KUBECONFIG": "/mine"}).programs.env["KUBECONFIG"] == "/mine"
