"""How the stores are started."""

from collections import defaultdict
from pathlib import Path
from urllib.parse import quote

import pytest

from devstack import apiserver, environment, stores
from devstack.home import Home
from devstack.table import PARTS

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


def test_our_processes_reach_our_postgresql_by_its_socket(tmp_path, monkeypatch):
    """They use the socket in its folder, unless the database is the user's own or the path is too long for a socket."""
    monkeypatch.setattr(stores, "data_folder", lambda name, home: home.data(name))  # whoever runs this
    ports = dict.fromkeys((variable for one in PARTS.values() for variable, _ in one.ports), 5432)

    def url(home, **user):
        return environment.for_part(PARTS["bank"], Home(home), ports, user)["BANK_POSTGRES_URL"]

    folder = quote(str(stores.data_folder("postgres", Home(tmp_path))), safe="")
    assert url(tmp_path) == f"postgresql://postgres@/bank?host={folder}&port=5432"
    assert url(tmp_path, BANK_POSTGRES_URL="postgresql://theirs/bank") == "postgresql://theirs/bank"
    assert url(tmp_path / ("long" * 30)) == "postgresql://postgres@127.0.0.1:5432/bank"
