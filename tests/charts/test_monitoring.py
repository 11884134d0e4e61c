"""What the chart tells Prometheus and Grafana: the rules, the dashboards, and by which name each process is known to both."""

import json
import re

import pytest
import yaml

from devstack import grafana, prometheus
from devstack.table import PARTS
from tests.charts.cases import RULES
from tests.charts.rendering import COMPONENT

LARGEST = 900_000  # bytes; a ConfigMap may hold a little more


def test_nothing_is_there_unless_it_is_asked_for(rendered):
    """Without values for them there are neither rules nor dashboards: a cluster may have no Prometheus."""
    kinds = {one["kind"] for one in rendered["production"].objects}
    assert kinds.isdisjoint({"PrometheusRule", "ServiceMonitor", "PodMonitor", "ConfigMap"})


def test_rules_are_those_of_the_file(rendered):
    """The PrometheusRule has every rule of the file that promtool checks, to the letter, but for where the pages are."""
    (rule,) = rendered["rules"].of("PrometheusRule")
    text = prometheus.RULES.read_text().replace("runbook_url: docs/runbooks/", f"runbook_url: {RULES['runbookUrl']}/")
    assert rule["spec"] == yaml.safe_load(text)
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    alerts = [one for group in rule["spec"]["groups"] for one in group["rules"] if "alert" in one]
    for one in alerts:
        assert one["annotations"]["runbook_url"] == f"https://wiki.example/shop/runbooks/{one['alert']}.md"


def test_nobody_misses_an_auditor_that_is_not_wanted(rendered):
    """Where the auditor is switched off the alerts that it is gone or late are left out, and no others."""
    (whole,) = rendered["rules"].of("PrometheusRule")
    (without,) = rendered["no-auditor"].of("PrometheusRule")
    groups = whole["spec"]["groups"]
    assert groups[-1]["name"] == "cartwright-auditor"
    assert without["spec"]["groups"] == groups[:-1]


@pytest.mark.parametrize("case", ["metrics", "metrics-deployments"])
def test_a_process_has_the_same_name_everywhere(rendered, case):
    """Whatever the pods are, the label `part` of a process is the name that `make up` knows it by."""
    rendering = rendered[case]
    monitor, pod_monitor = rendering.of("ServiceMonitor")[0], rendering.of("PodMonitor")[0]
    parts = set()
    for pod, container in rendering.platform:
        ports = {one["name"] for one in container["ports"]}
        for endpoint in [*monitor["spec"]["endpoints"], *pod_monitor["spec"]["podMetricsEndpoints"]]:
            if endpoint["port"] in ports:
                named = next(one for one in endpoint["relabelings"] if one.get("targetLabel") == "part")
                assert named["sourceLabels"] == [f"__meta_kubernetes_pod_label_{re.sub(r'[^a-z]', '_', COMPONENT)}"]
                parts.add(named.get("replacement", "$1").replace("$1", pod.component))
    left_out = set() if rendering.case.values.get("bank", {}).get("enabled") else {"bank"}
    assert parts == {part.name for part in PARTS.values() if not part.is_store} - left_out


def test_dashboards_are_those_of_the_files(rendered):
    """Each dashboard is a ConfigMap that Grafana's side-car finds by its label, and puts into the folder that is named."""
    found = {}
    for one in rendered["dashboards"].of("ConfigMap"):
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"] == {"grafana_folder": "Shop"}
        found |= one["data"]
    files = {f"cartwright-{path.name}": path.read_text() for path in grafana.DASHBOARDS.glob("*.json")}
    assert {name: text.rstrip() for name, text in files.items()} == found
    assert all(len(text) < LARGEST for text in found.values())


@pytest.mark.parametrize("path", sorted(grafana.DASHBOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_dashboards_are_for_people(path):
    """A dashboard and each of its panels say what they show, in which unit, and stand nowhere on top of another."""
    board = json.loads(path.read_text())
    assert (board["uid"], board["tags"]) == (f"cartwright-{path.stem}", ["cartwright"])
    assert board["description"]
    assert [one["name"] for one in board["templating"]["list"]][:2] == ["datasource", "namespace"]
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert cells.isdisjoint(taken), panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "$datasource"
        references = [one["refId"] for one in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)


def test_no_two_dashboards_are_one():
    """Grafana knows a dashboard by its uid and shows it by its title: no two share either."""
    boards = [json.loads(path.read_text()) for path in grafana.DASHBOARDS.glob("*.json")]
    for name in ("uid", "title"):
        assert len({board[name] for board in boards}) == len(boards)
