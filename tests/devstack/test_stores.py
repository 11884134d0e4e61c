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


@pytest.mark.parametrize("was_ready", [False, True])
def test_an_etcd_that_was_never_ready_begins_anew(tmp_path, was_ready):
    """What an interrupt in etcd's first moments leaves is of no use, and would keep it from starting; later data stays."""
    home = Home(tmp_path)
    log = home.data("etcd") / "member" / "member" / "wal" / "0.wal"
    log.parent.mkdir(parents=True)
    log.touch()
    if was_ready:
        stores.start("apiserver", PROGRAMS, home, defaultdict(lambda: 1))
    stores.start("etcd", PROGRAMS, home, defaultdict(lambda: 1))
    assert log.exists() == was_ready
