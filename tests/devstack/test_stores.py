"""How the stores are started."""

from collections import defaultdict
from pathlib import Path

import pytest

from devstack import apiserver, stores
from devstack.home import Home

NOWHERE = Path("/nowhere")
PROGRAMS = stores.Programs(
    postgres=NOWHERE,
    redis=NOWHERE,
    java=NOWHERE,
    kafka=NOWHERE,
    mongodb=NOWHERE,
    launcher=(),
    mongod=None,
    cluster=apiserver.Programs(etcd=NOWHERE / "etcd", apiserver=NOWHERE / "kube-apiserver", kubectl=NOWHERE),
)


@pytest.mark.parametrize(("name", "program", "at_least"), [("etcd", "etcd", 800), ("apiserver", "kube-apiserver", 400)])
def test_go_collects_seldom_and_within_a_limit(tmp_path, monkeypatch, name, program, at_least):
    """What is written in Go spends little time on collecting, never takes more memory than a limit for it, and obeys the user."""
    monkeypatch.delenv("GOGC", raising=False)
    monkeypatch.delenv("GOMEMLIMIT", raising=False)
    start = stores.start(name, PROGRAMS, Home(tmp_path), defaultdict(lambda: 1))
    assert start.command[0] == str(NOWHERE / program)
    assert int(start.env["GOGC"]) >= at_least
    assert start.env["GOMEMLIMIT"].endswith("iB")
    monkeypatch.setenv("GOGC", "50")
    assert stores.start(name, PROGRAMS, Home(tmp_path), defaultdict(lambda: 1)).env["GOGC"] == "50"
