"""Watches a running platform until Ctrl-C: Prometheus with the chart's rules, and Grafana with its dashboards where there is one.

Alerts are shown in the terminal as they come, since a Prometheus that is built here has no pages of its own. What Prometheus
has seen stays in the platform's folder, so that the next time shows what was before.
"""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from devstack import alerts, grafana, ports, prometheus
from devstack.client import Stack
from devstack.home import Home
from devstack.ports import HOST
from devstack.process import last_lines
from devstack.progress import Say
from devstack.table import PARTS

NAMESPACE = "local"
"""What stands where a cluster has the namespace, in rules and dashboards."""
INTERVAL = "5s"  # of scrapes and of rules: one who looks waits for the next
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
DEFAULT_PORTS = {"PROMETHEUS_PORT": 9090, "GRAFANA_PORT": 3000}


class CannotWatch(Exception):
    """Prometheus or Grafana does not start; `str()` says why."""


def watch(stack: Stack, env: Mapping[str, str], say: Say, building: Callable[[], AbstractContextManager[Say]]) -> None:
    """Watch until KeyboardInterrupt. What `building` gives is told how the build of Prometheus goes.

    Raises CannotWatch, StackError, CannotFetch or PortTaken where that is impossible.
    """
    rows, home = stack.rows(), stack.home
    chosen = {variable: _port(variable, env) for variable in DEFAULT_PORTS}
    with building() as shown:
        program = prometheus.find("prometheus", env, shown)
    url = f"http://{HOST}:{chosen['PROMETHEUS_PORT']}"
    folder = home.path / "watch"
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration(rows), sort_keys=False))
    with ExitStack() as running:
        running.enter_context(_running("prometheus", command(program, folder, url), env, home))
        _wait_ready(url, home)
        say(f"Prometheus watches {len(targets(rows))} processes: {url}")
        if server := grafana.find(env):
            settings = grafana.provision(folder, port=chosen["GRAFANA_PORT"], prometheus=url)
            running.enter_context(_running("grafana", grafana.command(server), {**env, **settings}, home))
            say(f"Grafana shows the dashboards: http://{HOST}:{chosen['GRAFANA_PORT']}/dashboards")
        else:
            say("There is no grafana-server on PATH; its dashboards are in charts/cartwright/files/dashboards.")
        say("Alerts are shown here as they come. Ctrl-C ends this.")
        for line in alerts.changes(lambda: alerts.firing(url)):
            say(line)


def targets(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the port of the metrics of each process of ours, those that are stopped among them, by its part."""
    return {row["name"]: row["ports"][-1] for row in rows if not PARTS[row["name"]].is_store}


def configuration(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return Prometheus' configuration for a stack of these parts, with the labels that rules and dashboards rest on."""
    listed = [
        {"targets": [f"{HOST}:{port}"], "labels": {"part": name, "namespace": NAMESPACE, "pod": name}}
        for name, port in targets(rows).items()
    ]
    return {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [str(prometheus.RULES)],
        "scrape_configs": [{"job_name": "cartwright", "static_configs": listed}],
    }


def command(program: Path, folder: Path, url: str) -> list[str]:
    """Return the command that runs Prometheus with the configuration of a folder, and keeps its data there for a week."""
    return [
        str(program),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=7d",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--log.level=warn",
    ]


def _port(variable: str, env: Mapping[str, str]) -> int:
    text = env.get(variable) or str(DEFAULT_PORTS[variable])
    if not text.isdigit() or not 0 < int(text) < 65536:  # noqa: PLR2004 - the highest port
        raise ports.PortTaken(f"{variable}={text}: must be a port number from 1 to 65535")
    if ports.is_taken(int(text)):
        raise ports.PortTaken(
            f"port {text} is taken by {ports.holder(int(text))}; choose another: {variable}=… make watch"
        )
    return int(text)


@contextmanager
def _running(name: str, words: Sequence[str], env: Mapping[str, str], home: Home) -> Iterator[None]:
    """Run a process, its output in a log of the platform's, and end it afterwards."""
    # A session of its own: Ctrl-C reaches this process alone, which then ends the others in their order.
    with (
        home.log(name).open("wb") as log,
        subprocess.Popen(words, env=dict(env), stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_ready(url: str, home: Home) -> None:
    ends_at = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends_at:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=2):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise CannotWatch(f"Prometheus is not ready after {READY_SECONDS:g} s:\n{last_lines(home.log('prometheus'))}")
