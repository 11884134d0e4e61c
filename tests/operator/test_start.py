"""What the person at the terminal sees when the operator cannot start."""

import os
import socket
import subprocess
import sys

import pytest

from devstack.home import ROOT


def start(env):
    """Start an operator, and give what it says before it ends."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "operator")])
    return subprocess.run(
        [sys.executable, "-m", "checkout_operator.main"],
        env={"PATH": "", "PYTHONPATH": path, "HTTP_PORT": "0", "LISTEN_HOST": "127.0.0.1"} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"KUBECONFIG": "/nonexistent"}, "operator: no cluster: run it in a pod, or set KUBECONFIG"),
        ({"HTTP_PORT": "x"}, "operator: HTTP_PORT: "),
        ({"MIRROR_MODE": "some"}, "operator: MIRROR_MODE: "),
    ],
)
def test_it_says_what_is_wrong(env, said):
    """A wrong setting or a missing cluster ends it with 2 and a line that says what to do, without a traceback."""
    done = start(env)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken():
    """A port that is taken is said in a line, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start({"HTTP_PORT": str(port), "KUBECONFIG": "/nonexistent"})
    assert done.returncode == 1, done.stderr
    assert f"{port}" in done.stderr
    assert done.stderr.startswith("operator: ")
    assert "Traceback" not in done.stderr
