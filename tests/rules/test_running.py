"""The rules in a Prometheus that watches a running platform, as `make watch` starts it."""

import json
import signal
import socket
import subprocess
import sys

import pytest
import requests

from devstack import prometheus
from devstack.home import ROOT, user_environment
from devstack.table import PARTS

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.local]


@pytest.fixture(name="watched")
def watched_fixture(platform, promtool):
    """Run `make watch` on the platform; give the process and the address of its Prometheus."""
    assert promtool  # built first, so that what is waited for below is Prometheus' start alone
    prometheus.find("prometheus", user_environment(), print)
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = {"PROMETHEUS_PORT": str(first.getsockname()[1]), "GRAFANA_PORT": str(second.getsockname()[1])}
    env = user_environment() | ports | {"DEVSTACK_HOME": str(platform.stack.home.path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "devstack", "watch"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        yield process, f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
        if process.poll() is None:
            process.send_signal(signal.SIGINT)


@pytest.mark.timeout(900)  # it may build Prometheus
def test_watching_a_platform(platform, shopper, watched, eventually):
    """Every process is scraped, every rule is evaluated without an error, nothing is alarmed about, and Ctrl-C ends it all."""
    process, url = watched

    def ask(path):
        return requests.get(f"{url}/api/v1/{path}", timeout=5).json()["data"]

    shopper.add(1, 1)
    shopper.buy("watched")
    ours = {part.name for part in PARTS.values() if not part.is_store}

    def all_up():
        up = {one["metric"]["part"]: one["value"][1] for one in ask("query?query=up")["result"]}
        return up == dict.fromkeys(ours, "1")

    eventually(all_up, 120)

    def evaluated():
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        return all(rule["health"] == "ok" for rule in rules) and rules

    rules = eventually(evaluated, 60)
    listed = json.loads(json.dumps(rules))
    assert len([rule for rule in listed if rule["type"] == "alerting"]) > 20
    eventually(lambda: ask('query?query=cartwright_cart_cleared_seconds_count{part="cart-consumer"}')["result"], 60)
    assert [one["labels"] for one in ask("alerts")["alerts"] if one["state"] == "firing"] == []
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert f"Prometheus watches {len(ours)} processes: {url}" in said
    assert said.rstrip().endswith("ended")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/-/ready", timeout=5)
