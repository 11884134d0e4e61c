"""What the person at the terminal sees when the operator cannot start."""

import os
import subprocess
import sys

import pytest

from devstack.home import ROOT


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
    path = os.pathsep.join([str(ROOT), str(ROOT / "operator")])
    done = subprocess.run(
        [sys.executable, "-m", "checkout_operator.main"],
        env={"PATH": "", "PYTHONPATH": path, "HTTP_PORT": "0", "LISTEN_HOST": "127.0.0.1"} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
