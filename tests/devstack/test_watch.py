"""What `make watch` starts, and that each of it fits what is there."""

import json
import socket

import pytest
import yaml

from devstack import grafana, ports, prometheus, watch
from devstack.home import Home, user_environment
from devstack.table import PARTS

ROWS = [{"name": part.name, "ports": [port for _, port in part.ports]} for part in PARTS.values()]


def test_every_process_of_ours_is_a_target():
    """Prometheus asks every process of ours for its metrics by the port of its pages, and no store."""
    (scraped,) = watch.configuration(ROWS)["scrape_configs"]
    found = {one["labels"]["part"]: one["targets"] for one in scraped["static_configs"]}
    assert set(found) == {part.name for part in PARTS.values() if not part.is_store}
    assert (found["checkout"], found["checkout-relay"], found["gateway"], found["operator"]) == (
        ["127.0.0.1:9056"],
        ["127.0.0.1:9156"],
        ["127.0.0.1:8080"],
        ["127.0.0.1:9060"],
    )
    assert {one["labels"]["namespace"] for one in scraped["static_configs"]} == {watch.NAMESPACE}
    assert watch.configuration(ROWS)["rule_files"] == [str(prometheus.RULES)]


def test_what_grafana_loads(tmp_path):
    """Grafana gets our Prometheus as its source, and the chart's dashboards, and listens on this machine alone."""
    settings = grafana.provision(tmp_path, port=3001, prometheus="http://127.0.0.1:9090")
    read = {path.parent.name: yaml.safe_load(path.read_text()) for path in tmp_path.rglob("cartwright.yaml")}
    (source,) = read["datasources"]["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://127.0.0.1:9090", True)
    (provider,) = read["dashboards"]["providers"]
    assert provider["options"] == {"path": str(grafana.DASHBOARDS)}
    assert [json.loads(path.read_text())["title"] for path in grafana.DASHBOARDS.glob("*.json")]
    assert (settings["GF_SERVER_HTTP_ADDR"], settings["GF_SERVER_HTTP_PORT"]) == ("127.0.0.1", "3001")
    assert settings["GF_PATHS_PROVISIONING"] == str(tmp_path / "provisioning")


def test_grafana_gets_what_it_has_beside_its_program(tmp_path):
    """A Grafana that was unpacked somewhere is told where the rest of it is; one whose rest is unknown is run as it is."""
    server = tmp_path / "bin" / "grafana-server"
    assert grafana.command(server)[0] == str(server)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "defaults.ini").touch()
    assert grafana.command(server) == [str(server), "--homepath", str(tmp_path)]


@pytest.mark.parametrize(("version", "used"), [("3.5.0", True), ("2.53.4", False)])
def test_a_prometheus_that_is_too_old_is_not_used(tmp_path, monkeypatch, version, used):
    """A Prometheus on PATH is used where its bounds of histograms are those that the rules name, and ours is otherwise."""
    program = tmp_path / "promtool"
    program.write_text(f"#!/bin/sh\necho promtool, version {version}\n")
    program.chmod(0o755)
    monkeypatch.setattr(prometheus.golang, "program", lambda *_: tmp_path / "ours")
    env = {name: value for name, value in user_environment().items() if name != "DEVSTACK_IGNORE_PATH"}
    found = prometheus.find("promtool", env | {"PATH": f"{tmp_path}:{env['PATH']}"}, print)
    assert found == (program if used else tmp_path / "ours")


def test_nothing_to_watch(refused):
    """Without a running platform the command says how to start one."""
    assert "start it with: make up" in refused("watch")


def test_a_port_that_is_taken_is_named(monkeypatch, tmp_path):
    """A port that is taken is said with who holds it, and which variable chooses another."""

    class Running:
        home = Home(tmp_path)

        def rows(self):
            return ROWS

    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        with pytest.raises(ports.PortTaken, match=rf"port {port} is taken by .*PROMETHEUS_PORT="):
            watch.watch(Running(), {"PROMETHEUS_PORT": port}, print, print)
    with pytest.raises(ports.PortTaken, match="GRAFANA_PORT=x: must be a port number"):
        watch.watch(Running(), {"PROMETHEUS_PORT": "9099", "GRAFANA_PORT": "x"}, print, print)
