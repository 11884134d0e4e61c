"""What the person at the terminal sees when the operator cannot start."""

import json
import os
import socket
import subprocess
import sys

import pytest
import structlog
from kubernetes.aio import client

from checkout_operator import main
from checkout_operator.config import Config
from checkout_operator.credentials import Credentials
from checkout_operator.watchdog import WatchDied
from devstack.home import ROOT


def run(words, env):
    """Run Python with the operator at hand, and give what it says."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "operator")])
    return subprocess.run(
        [sys.executable, *words],
        env={"PATH": "", "PYTHONPATH": path} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start(env):
    """Start an operator, and give what it says before it ends."""
    return run(["-m", "checkout_operator.main"], {"HTTP_PORT": "0", "LISTEN_HOST": "127.0.0.1"} | env)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"KUBECONFIG": "/nonexistent"}, "operator: no cluster: run it in a pod, or set KUBECONFIG"),
        ({"HTTP_PORT": "x"}, "operator: HTTP_PORT: "),
        ({"RELIST_EVERY": "9"}, "operator: RELIST_EVERY: "),
        ({"MIRROR_MODE": "some"}, "operator: MIRROR_MODE: "),
    ],
)
def test_it_says_what_is_wrong(forked, tmp_path, env, said):
    """A wrong setting or a missing cluster ends it with 2 and a line that says what to do, without a traceback."""
    log = tmp_path / "log"
    code = forked({"HTTP_PORT": "0", "LISTEN_HOST": "127.0.0.1"} | env, log).wait(60)
    assert code == 2, log.read_text()
    assert said in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_port_that_is_taken():
    """A port that is taken is said in a line that says what to do, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start({"HTTP_PORT": str(port), "KUBECONFIG": "/nonexistent"})
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"operator: cannot listen on port {port} of 127.0.0.1: set HTTP_PORT")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError, OSError])
def test_what_nobody_foresaw(monkeypatch, error):
    """Whatever else ends it keeps its traceback."""

    async def operate(_):
        raise error

    monkeypatch.setattr(main, "operate", operate)
    with pytest.raises(error):
        main.main()


def test_logs_go_to_the_standard_output():
    """What is logged is where those who collect a container's logs look for it."""
    code = "from checkout_operator.telemetry import make_log; make_log('info').info('here')"
    done = run(["-c", code], {})
    assert (json.loads(done.stdout)["event"], done.stderr) == ("here", "")


@pytest.mark.parametrize(
    ("ended", "error", "said"),
    [
        (None, WatchDied, "the watch ended without an error"),
        (OSError("the disk is full"), OSError, "the disk is full"),
    ],
)
async def test_a_watch_that_ends(monkeypatch, ended, error, said):
    """A watch that ends without being asked to ends the operator, with its reason or with the word that there was none."""

    async def watch(**_):
        if ended:
            raise ended

    async def load():
        return Credentials(client.Configuration(host="http://127.0.0.1:1"))

    monkeypatch.setattr(main, "make_log", lambda _: structlog.get_logger())
    monkeypatch.setattr(main.kopf, "operator", watch)
    monkeypatch.setattr(main.Credentials, "load", load)
    with pytest.raises(error, match=said):
        await main.operate(Config(listen_host="127.0.0.1", http_port=0, checkout_addr="127.0.0.1:1"))
