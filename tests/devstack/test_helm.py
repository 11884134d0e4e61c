"""Which helm is used."""

import pytest
from typer.testing import CliRunner

from devstack import cli, fetch, golang, helm, stores
from devstack.home import user_environment


@pytest.mark.parametrize(("version", "used"), [("v3.14.0+g3fc9f4b", True), ("v4.0.1", True), ("v3.9.4", False)])
def test_a_helm_that_is_too_old_is_not_used(tmp_path, version, used) -> None:
    """A helm on PATH is used where it knows what the charts need, and passed over for ours where it is too old."""
    program = tmp_path / "helm"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    env = {name: value for name, value in user_environment().items() if name != "DEVSTACK_IGNORE_PATH"}
    assert (helm.find(env | {"PATH": f"{tmp_path}:{env['PATH']}"}, print) == program) is used


def test_the_build_of_helm_is_pinned() -> None:
    """What is built is a version of helm that is not too old for the charts."""
    line = next(line for line in (fetch.TOOLS / "helm" / "go.mod").read_text().splitlines() if "helm.sh/helm" in line)
    major, minor, _ = line.split()[-1].removeprefix("v").split(".")
    assert (int(major), int(minor)) >= helm.OLDEST
    assert golang.SOURCES["helm"].package == f"{line.split()[1]}/cmd/helm"


def test_fetch_brings_helm(monkeypatch) -> None:
    """`devstack fetch`, which `make test` runs first, brings helm too, and says that it does."""
    monkeypatch.setattr(stores, "find", lambda _, __, say: say("fetching stores"))
    monkeypatch.setattr(helm, "find", lambda _, say: say("building helm"))
    done = CliRunner().invoke(cli.app, ["fetch"])
    assert (done.exit_code, done.output) == (0, "  fetching stores …\n  building helm …\n")
