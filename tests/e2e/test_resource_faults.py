"""Applied checkouts, whatever happens to the operator and to the API server."""

import os
import socket
import subprocess
import sys

import pytest
import requests

from devstack.home import ROOT, user_environment
from tests.e2e.outages import away
from tests.kube import MOUSE

pytestmark = pytest.mark.e2e


@pytest.mark.local  # a cluster of its own: the counters count what others write
def test_a_hundred_at_once(kube, platform, eventually) -> None:
    """A hundred resources become a hundred purchases, with at most five writes to the API server each."""
    before = kube.writes()
    buyers = [platform.shopper() for _ in range(100)]
    names = [kube.apply(userId=one.user_id, items=MOUSE, ttlSecondsAfterFinished=5) for one in buyers]
    eventually(lambda: not any(kube.get(name) for name in names), 90)
    ids = [one.user_id for one in buyers]
    rows = platform.sql(
        "SELECT user_id FROM transactions WHERE user_id = ANY($1) AND state = 'CAPTURED'", ids, bank=True
    )
    assert sorted(row["user_id"] for row in rows) == ids
    assert kube.writes() - before <= 5 * len(names)


@pytest.mark.local
def test_two_operators(kube, platform, shopper, eventually, bought) -> None:
    """Two operators at once start and show each checkout once."""
    env = {"KUBECONFIG": str(platform.stack.home.operator_kubeconfig), "CHECKOUT_ADDR": platform.urls["CHECKOUT_ADDR"]}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env |= {"NAMESPACE": "default", "HTTP_PORT": str(port), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}
    command = [sys.executable, "-m", "checkout_operator.main"]
    with subprocess.Popen(
        command, env=user_environment() | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as rival:
        try:
            eventually(lambda: requests.get(f"http://127.0.0.1:{port}/ready", timeout=5).ok)
            names = [kube.apply(userId=shopper.user_id, items=MOUSE) for _ in range(10)]
            for name in names:
                assert eventually(lambda name=name: kube.finished(name), 60)["phase"] == "Completed"
            assert rival.poll() is None
        finally:
            rival.terminate()
    assert rival.returncode == 0
    assert bought(shopper) == 10


@pytest.mark.local
def test_without_the_api_server(kube, platform, shopper, eventually, bought) -> None:
    """While the API server is away REST goes on; what was under way is shown when it is back."""
    platform.bank("hang", shopper.user_id, times=1)
    name = kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: kube.status(name).get("phase") == "Paying")
    with away(platform, "apiserver"):
        shopper.add(1, 1)
        answer = shopper.buy("meanwhile")
        eventually(lambda: shopper.checkout(answer.json()["checkout_id"])["status"] == "COMPLETED", 60)
    assert eventually(lambda: kube.finished(name), 60)["phase"] == "Completed"
    assert bought(shopper) == 2


@pytest.mark.local
def test_a_silent_watch(scene, shopper, eventually) -> None:
    """An operator whose watch reports nothing ends by itself, and says why; the next one does what was applied meanwhile."""
    place = scene().allow()
    silent = place.operator(silent_watch=True, relist_every=10)
    name = place.kube.apply(userId=shopper.user_id, items=MOUSE)
    eventually(lambda: silent.exit_code() is not None, 60)
    assert silent.exit_code() == 1
    assert place.kube.status(name) == {}
    assert "WatchDied" in place.log.read_text()
    healthy = place.operator()
    assert eventually(lambda: place.kube.finished(name), 60)["phase"] == "Completed"
    healthy.terminate()
    assert eventually(lambda: healthy.exit_code() == 0)
