"""A stack whose processes run in another module, as those of the torture do."""

import sys

import pytest

from devstack.supervisor import Supervisor
from devstack.table import PARTS

PORTS = dict(pair for part in PARTS.values() for pair in part.ports)


@pytest.mark.parametrize(("wrapper", "words"), [([], []), (["tests.torture.runner"], ["tests.torture.runner"])])
def test_a_wrapper_gets_the_module_and_the_role(tmp_path, wrapper, words) -> None:
    """Each process of ours starts by the wrapper where there is one, and as it is where there is none."""
    plan = {"home": str(tmp_path), "ports": PORTS, "env": {}, "parts": ["gateway"], "while_pid": 0, "own_cluster": None}
    supervisor = Supervisor(plan | {"wrapper": wrapper})
    how = supervisor._our_process(PARTS["gateway"])
    assert how.command == [sys.executable, "-m", *words, "services.gateway.main", "serve"]
