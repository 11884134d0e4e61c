"""What the person at the terminal sees of `make kind-up` where something is missing or taken."""

import socket
import stat

import pytest
from typer.testing import CliRunner

from devstack.kind import __main__ as command
from devstack.kind.cluster import Cluster
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
    """Give a folder of programs that answer as each test says, and note how they were called."""

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
    """A Docker that does not answer is told before anything is made."""
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
    with pytest.raises(KindError, match=r"this failed: kind load docker-image --name c x\nno such image"):
        cluster.load("x")


def test_the_gateway_port_is_mapped(programs):
    """The cluster is made from the project's own file, with the chosen port in it, and the chosen node image."""
    programs("kind", 'while [ $# -gt 0 ]; do [ "$1" = --config ] && grep hostPort "$2" >&2 && exit 1; shift; done')
    cluster = Cluster(Programs({"PATH": programs.path}), "c")
    with pytest.raises(KindError, match="hostPort: 39123"):
        cluster.make("kindest/node:x", 39123)
    assert programs.calls()[0].endswith("--image kindest/node:x")


def test_what_could_not_be_made_is_deleted(programs):
    """A cluster whose making fails does not stay behind half made."""
    programs("kind", "[ $1 != create ]")
    with pytest.raises(KindError, match="kind create cluster"):
        Cluster(Programs({"PATH": programs.path}), "c").make("", 39123)
    assert programs.calls()[-1] == "kind delete cluster --name c"


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
